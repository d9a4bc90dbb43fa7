// SPDX-License-Identifier: GPL-2.0-or-later
// Code that runs before the kernel has set itself up.
//#Refuse: init-function start
#include "kernel.h"

#define __head __attribute__((__section__(".head.text"), __noinline__))

int __head start(int x)
{
#ifdef PATCHED
	outside(2);
#endif
	return source() + x;
}
