// SPDX-License-Identifier: GPL-2.0-or-later
// The same in a section that several functions share.
//#Arch: x86_64, call depth tracking is its own
//#Flags: -fpatchable-function-entry=16,16
//#Expect: changed schedule_it
//#Kernel: pick
//#Special: ftrace 1
//#Special: __patchable_function_entries 1
#include "kernel.h"

#define __sched __section(".sched.text")

noinline __sched int pick(int x)
{
	return x + source();
}

noinline __sched int schedule_it(int x)
{
#ifdef PATCHED
	outside(source());
#endif
	return pick(x) + 1;
}

noinline __sched int yield_it(int x)
{
	return pick(x) - 1;
}
