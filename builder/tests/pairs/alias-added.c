// SPDX-License-Identifier: GPL-2.0-or-later
// A function gets a second name, which comes before the first one in order; another is only called by it.
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

#ifdef PATCHED
int a_new_name(int x) __attribute__((alias("work")));
#endif

noinline int work(int x)
{
#ifdef PATCHED
	x++;
#endif
	return source() + x;
}

int use(int x)
{
	return work(x);
}
