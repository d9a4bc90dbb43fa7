// SPDX-License-Identifier: GPL-2.0-or-later
// A function is gone; whoever called it has changed.
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

#ifndef PATCHED
static noinline int check(int x)
{
	return x > source();
}
#endif

int work(int x)
{
#ifndef PATCHED
	if (!check(x))
		return -22;
#endif
	return x + 1;
}
