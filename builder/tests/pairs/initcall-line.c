// SPDX-License-Identifier: GPL-2.0-or-later
// The entry of an initcall has the line, and a counter, in its name where entries are pointers.
//#Nothing
#include "kernel.h"

static int __init start(void)
{
	return source();
}

#ifdef PATCHED
static __used __section(".initcall6.init") int (*__initcall__kmod_m__302_120_start6)(void) = start;
#else
static __used __section(".initcall6.init") int (*__initcall__kmod_m__301_110_start6)(void) = start;
#endif

int work(int x)
{
	return x + source();
}
