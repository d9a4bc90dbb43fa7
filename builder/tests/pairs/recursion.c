// SPDX-License-Identifier: GPL-2.0-or-later
// A function that calls itself and one that does so through another.
//#Expect: changed down
//#Special: ftrace 1
#include "kernel.h"

noinline int down(int x)
{
	outside(x);
#ifdef PATCHED
	if (x <= 0)
#else
	if (x == 0)
#endif
		return 0;
	return down(x - 1) + down(x - 2);
}

noinline int ping(int x);

noinline int pong(int x)
{
	outside(x);
	return x ? ping(x - 1) + 1 : 0;
}

noinline int ping(int x)
{
	outside(x);
	return x ? pong(x - 1) + 1 : 0;
}
