// SPDX-License-Identifier: GPL-2.0-or-later
// One of two that use it lets it go.
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

int *both(void);

int work(int x)
{
	static int count;
#ifndef PATCHED
	count += x;
#endif
	return x > 3 ? source() : -1;
}

int other(int x)
{
	static int count;

	return count -= x;
}
