// SPDX-License-Identifier: GPL-2.0-or-later
// The end of a per-CPU array, a member behind the last element, and the place before the first one.
//#Expect[x86_64]: changed find
//#Expect[x86_64]: changed back
//#Data[x86_64]: new fresh
//#Kernel[x86_64]: table
//#Kernel[x86_64]: tail
//#Special[x86_64]: ftrace 2
//#NotShown[x86_64]: find
//#NotShown[x86_64]: find
//#Refuse[ppc64le]: ambiguous-address find
#include "kernel.h"

#define PERCPU __section(".data..percpu")
void outp(const void *p);

struct pair {
	int a, b;
};

#ifdef PATCHED
static int fresh PERCPU = 1;
#endif
static struct pair table[16] PERCPU = { { 1, 2 } };
static int tail PERCPU = 3;

int find(int key)
{
	struct pair *p;
	int sum = 0;

	for (p = table; p != table + 16; p++) {
		sum += p->b ^ key;
		outside(sum);
	}
#ifdef PATCHED
	fresh += sum;
#endif
	return sum;
}

int back(int n)
{
#ifdef PATCHED
	outside(n);
#endif
	return table[n - 1].b + tail;
}
