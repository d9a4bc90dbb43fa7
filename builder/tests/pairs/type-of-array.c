// SPDX-License-Identifier: GPL-2.0-or-later
// Arrays whose elements get another size, of one size in all or at the end of a struct, or that get other dimensions.
//#Refuse: struct-layout struct list
//#Refuse: data-type grid
//#Refuse: data-type limits
#include "kernel.h"

#ifdef PATCHED
#define ITEM unsigned long
#define ITEMS 2
#else
#define ITEM u32
#define ITEMS 4
#endif

struct list {
	long n;
	ITEM values[];
};
struct list *lists;
static ITEM limits[ITEMS];
static u32 same[2][2], kept[4], grid[ITEMS][16 / ITEMS];

int work(int x)
{
	limits[x & (ITEMS - 1)] = x;
	outside((int)limits[0] + (int)lists->values[x]);
#ifdef PATCHED
	outside(x);
#endif
	return same[x & 1][x & 1]++ + grid[x & 1][x & 1]++ + kept[x & 3]++;
}
