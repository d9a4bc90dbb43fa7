// SPDX-License-Identifier: GPL-2.0-or-later
// All functions in one section, all data in another: what can be told apart is.
//#Flags: -fno-function-sections -fno-data-sections -fno-section-anchors
//#Expect: changed work
//#Kernel: second
//#Kernel: helper
//#Special: ftrace 1
#include "kernel.h"

static int first = 1, second = 2;

static noinline int helper(int x)
{
	return x + first;
}

noinline int work(int x)
{
	outside(second);
#ifdef PATCHED
	outside(source());
#endif
	return helper(x) + second;
}

noinline int still(int x)
{
	first = x;
	second = x - 1;
	return helper(x) - 1;
}
