// SPDX-License-Identifier: GPL-2.0-or-later
// Functions of several text sections, of which those that change are not the first: their places for ftrace (or their call
// padding) are put in the order of the code in the module, like those of all other objects there.
//#Flags[x86_64]: -fpatchable-function-entry=16,16
//#Expect: changed sleeping
//#Expect: changed last
//#Special: ftrace 2
//#Special[x86_64]: __patchable_function_entries 2
#include "kernel.h"

#define __sched __section(".sched.text")

int first(int x)
{
	return x + source();
}

__sched int still(int x)
{
	return x - source();
}

__sched int sleeping(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	return x + 2 * source();
}

int last(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	return x * source();
}
