// SPDX-License-Identifier: GPL-2.0-or-later
// A function that is to be left out goes with the part that the compiler moved out of its way.
//#Flags: -freorder-blocks-and-partition
//#Warn: change-ignored checked
//#Expect: changed work
//#Kernel: checked
//#Special: ftrace 1
#include "kernel.h"

void complain(int x) __attribute__((cold));

noinline int checked(int x)
{
	if (__builtin_expect(x < 0, 0)) {
		complain(x);
#ifdef PATCHED
		complain(x + 1);
#endif
		return -1;
	}
	return source();
}

int work(int x)
{
#ifdef PATCHED
	outside(3);
#endif
	return checked(x) + 1;
}

#ifdef PATCHED
static __used __section(".kpatch.ignore.functions") void *ignored_function = checked;
#endif
