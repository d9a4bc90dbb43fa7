// SPDX-License-Identifier: GPL-2.0-or-later
// Code that has run and is gone.
//#Refuse: init-function start
#include "kernel.h"

int __init start(void)
{
#ifdef PATCHED
	outside(2);
#endif
	return source();
}
