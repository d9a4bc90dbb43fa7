// SPDX-License-Identifier: GPL-2.0-or-later
// Two names for one function: the new code answers to both.
//#Expect: changed real
//#Special: ftrace 1
#include "kernel.h"

noinline int real(int x)
{
#ifdef PATCHED
	return x + 2 * source();
#else
	return x + source();
#endif
}

int other_name(int x) __attribute__((alias("real")));

int caller(int x)
{
	return other_name(x) + real(x);
}
