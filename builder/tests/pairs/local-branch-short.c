// SPDX-License-Identifier: GPL-2.0-or-later
// A jump between functions that has no room for the distance to another module.
//#Arch: ppc64le, elsewhere short jumps look different
//#Refuse: shared-section work
#include "kernel.h"

#define __sched __section(".sched.text")

static noinline __sched int leaf(int x)
{
	__asm__ volatile(".globl inside\ninside: nop");
	return x * 3;
}

noinline __sched int work(int x)
{
#ifdef PATCHED
	x++;
#endif
	__asm__ volatile("cmpwi %0, 0\nbeq 0, .Lhere" :: "r"(x) : "cr0");
	return leaf(x);
}

static noinline __used __sched int target(int x)
{
	__asm__ volatile(".Lhere: nop");
	return x;
}
