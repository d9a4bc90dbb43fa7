// SPDX-License-Identifier: GPL-2.0-or-later
// What the running kernel has allows more than the new code asks for: const and __ro_after_init are added, a writer is gone.
//#Expect: changed set
//#Expect: changed get
//#Kernel: limits
//#Kernel: table
//#Kernel: mode
//#Special: ftrace 2
#include "kernel.h"

#ifdef PATCHED
#define CONST const
#define RO __section(".data..ro_after_init")
#else
#define CONST
#define RO
#endif

static CONST int table[8] __used = { 1, 2, 3, 4, 5, 6, 7, 8 };
static int mode RO __used = 1;
static int limits[4] = { 10, 20, 30, 40 };

int set(int n, int v)
{
#ifdef PATCHED
	return v - limits[n & 3];
#else
	limits[n & 3] = v;
	return v;
#endif
}

int get(int n)
{
#ifdef PATCHED
	n++;
#endif
	return limits[n & 3] + table[n & 7] + mode;
}
