// SPDX-License-Identifier: GPL-2.0-or-later
// Variables that the fix wants aligned to more than the running kernel has them; one is aligned to less.
//#Refuse: storage-class line
//#Refuse: storage-class page
#include "kernel.h"

#define ALIGN(n) __attribute__((aligned(n)))

#ifdef PATCHED
static char page[4096] ALIGN(4096);
static int line[16] ALIGN(64) = { 1 };
static int less[16] ALIGN(64) = { 2 };
#else
static char page[4096];
static int line[16] = { 1 };
static int less[16] ALIGN(128) = { 2 };
#endif

int work(int x)
{
	page[x & 4095] = x;
	outside(page[x & 255]);
	return 0;
}

int more(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	line[x & 15]++;
	return less[x & 15]++;
}
