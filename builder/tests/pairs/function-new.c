// SPDX-License-Identifier: GPL-2.0-or-later
// A new function and its first caller.
//#Expect: new check
//#Expect: changed work
//#Special: ftrace 2
#include "kernel.h"

#ifdef PATCHED
static noinline int check(int x)
{
	return x > source();
}
#endif

int work(int x)
{
#ifdef PATCHED
	if (!check(x))
		return -22;
#endif
	return x + 1;
}
