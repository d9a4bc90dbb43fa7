// SPDX-License-Identifier: GPL-2.0-or-later
// The static local keeps its value, though its number moves.
//#Expect: changed before
//#Expect: changed work
//#Data: new count
//#Kernel: count
//#Special: ftrace 2
#include "kernel.h"

int before(int x)
{
#ifdef PATCHED
	static int count;

	if (x)
		count++;
	return x + count;
#else
	return x;
#endif
}

int work(int x)
{
	static int count;
#ifdef PATCHED
	if (x > 10)
		return -1;
#endif
	return count += x;
}
