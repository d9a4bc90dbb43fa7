// SPDX-License-Identifier: GPL-2.0-or-later
// A loop ends where an array does, and a new variable is next to it there: the end is the running array's, not the new
// variable. A function that only the layout moves does not change.
//#Expect: changed find
//#Data: new limit
//#Kernel[x86_64]: table
//#Special: ftrace 1
//#NotShown[x86_64]: find
//#NotShown[ppc64le medium]: find
//#NotShown[x86_64]: find
//#NotShown[ppc64le medium]: find
//#Kernel[ppc64le]: tail
//#NotShown[ppc64le large]: .toc+0x8
#include "kernel.h"

#define READ_MOSTLY __section(".data..read_mostly")


#ifdef PATCHED
static int limit[8] READ_MOSTLY = { 16 };
#endif
static int table[16] READ_MOSTLY = { 1 };
static int tail READ_MOSTLY = 3;

int find(int key)
{
	int *p, sum = 0;

	for (p = table; p != table + 16; p++) {
		sum += *p ^ key;
		outside(sum);
	}
#ifdef PATCHED
	limit[key & 7] += sum;
#endif
	return sum;
}

int fill(int k, int v)
{
	table[k & 15] = v;
	return tail++;
}

int other(void)
{
	int *p;

	for (p = table; p != table + 16; p++)
		outside(*p);
	return 0;
}
