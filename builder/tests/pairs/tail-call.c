// SPDX-License-Identifier: GPL-2.0-or-later
// Jumps instead of calls, to outside and to a neighbour.
//#Expect: changed near
//#Kernel: neighbour
//#Special: ftrace 1
#include "kernel.h"

static noinline int neighbour(int x)
{
	outside(x);
	return x + 1;
}

int near(int x)
{
#ifdef PATCHED
	outside(source());
#endif
	return neighbour(x + 1);
}

void far(int x)
{
	outside(x + 1);
}
