// SPDX-License-Identifier: GPL-2.0-or-later
// A table loses const; another was never const, but nothing wrote to it, so the compiler made it read-only.
//#Refuse: storage-class limits
//#Refuse: storage-class table
//#Refuse: writes-read-only set
//#Refuse: writes-read-only set
#include "kernel.h"

#ifdef PATCHED
#define CONST
#else
#define CONST const
#endif

static CONST int table[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static int limits[4] = { 10, 20, 30, 40 };

int get(int n)
{
	return limits[n & 3] + table[n & 7];
}

int set(int n, int v)
{
#ifdef PATCHED
	limits[n & 3] = v;
	table[n & 7] = v;
#endif
	return n + v;
}
