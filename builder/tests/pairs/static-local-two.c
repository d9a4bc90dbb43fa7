// SPDX-License-Identifier: GPL-2.0-or-later
// Two functions, a static local of the same name each; only one function changes.
//#Expect: changed one
//#Kernel: count
//#Special: ftrace 1
#include "kernel.h"

int one(int x)
{
	static int count;
#ifdef PATCHED
	if (x > 10)
		return -1;
#endif
	return count += x;
}

int two(int x)
{
	static int count;

	return count -= x;
}
