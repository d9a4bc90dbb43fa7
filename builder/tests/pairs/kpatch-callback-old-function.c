// SPDX-License-Identifier: GPL-2.0-or-later
// kpatch's macro names a function that the running kernel has.
//#Refuse: callback-function use
#include "kernel.h"

int level;

int use(int value)
{
#ifdef PATCHED
	return value + level;
#else
	return value;
#endif
}

#ifdef PATCHED
static int (*pre)(int) __attribute__((used, section(".kpatch.callbacks.pre_patch"))) = use;
#endif
