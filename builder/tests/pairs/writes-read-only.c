// SPDX-License-Identifier: GPL-2.0-or-later
// New code writes to what stays read-only: a variable that is so after init, a field of one, an element of one.
//#Refuse: writes-read-only one
//#Refuse: writes-read-only two
//#Refuse: writes-read-only three
#include "kernel.h"

struct pair {
	int a, b;
};

#define RO __section(".data..ro_after_init")
static int mode RO = 1;
static struct pair both RO = { 1, 2 };
static int all[16] RO = { 1, 2 };

int __init boot(int x)
{
	mode = both.a = both.b = all[x & 15] = x;
	return 0;
}

int one(int x)
{
#ifdef PATCHED
	mode = x;
#endif
	return mode + x;
}

int two(int x)
{
#ifdef PATCHED
	both.b = x;
#endif
	return both.a + both.b + x;
}

int three(int x)
{
#ifdef PATCHED
	all[x & 15] = 3;
#endif
	return all[x & 15] + x;
}

int reads(int x)
{
#ifdef PATCHED
	x++;
#endif
	return all[x & 15] + mode + both.b;
}
