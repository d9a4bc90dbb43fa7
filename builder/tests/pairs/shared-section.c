// SPDX-License-Identifier: GPL-2.0-or-later
// Functions that share a section call each other without a relocation.
//#Expect: changed schedule_it
//#Kernel: pick
//#Special: ftrace 1
#include "kernel.h"

#define __sched __section(".sched.text")

static noinline __sched int pick(int x)
{
	return x + source();
}

noinline __sched int schedule_it(int x)
{
	outside(x);
#ifdef PATCHED
	outside(source());
	outside(source() + 1);
#endif
	return pick(x) + 1;
}

noinline __sched int yield_it(int x)
{
	return pick(x) - schedule_it(x);
}
