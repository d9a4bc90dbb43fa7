// SPDX-License-Identifier: GPL-2.0-or-later
// Two functions, a static table of the same name each; both functions change.
//#Expect: changed one
//#Expect: changed two
//#Kernel: table
//#Kernel: table
//#Special: ftrace 2
#include "kernel.h"

int one(int x)
{
	static const int table[] = { 1, 2, 3, 4 };
#ifdef PATCHED
	asm volatile("nop");
#endif
	return table[x & 3];
}

int two(int x)
{
	static const int table[] = { 4, 3, 2, 1 };
#ifdef PATCHED
	asm volatile("nop");
#endif
	return table[x & 3];
}
