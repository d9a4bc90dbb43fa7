// SPDX-License-Identifier: GPL-2.0-or-later
// Behind the end of an array is what aligns the next variable.
//#Expect: changed find
//#Kernel: table
//#Special: ftrace 1
#include "kernel.h"

#define READ_MOSTLY __section(".data..read_mostly")


static long other_data[8] READ_MOSTLY = { 1 };
static int table[6] READ_MOSTLY = { 1 };

int find(int key)
{
	int *p, sum = 0;

	for (p = table; p != table + 6; p++) {
		sum += *p ^ key;
		outside(sum);
	}
#ifdef PATCHED
	outside(key);
#endif
	return sum;
}

int fill(int k, int v)
{
	table[k % 6] = v;
	return other_data[k & 7]++;
}
