// SPDX-License-Identifier: GPL-2.0-or-later
// A jump into the middle of a function that stays where it is: from a module there is no way there.
//#Arch: ppc64le, elsewhere modules reach every place
//#Refuse: jumps-into-function work
#include "kernel.h"

#define __sched __section(".sched.text")

noinline __sched int work(int x)
{
#ifdef PATCHED
	x += source();
#endif
	__asm__ goto("b %l0" :::: out);
	return x;
out:
	__asm__ volatile("b .Lhere");
	return x;
}

static noinline __used __sched int target(int x)
{
	outside(x);
	__asm__ volatile(".Lhere: nop");
	return x + 1;
}
