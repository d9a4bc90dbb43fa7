// SPDX-License-Identifier: GPL-2.0-or-later
// It cannot be told whether a pointer is the end of an array or a new variable behind it.
//#Refuse: ambiguous-address work
#include "kernel.h"

#define READ_MOSTLY __section(".data..read_mostly")

void outp(const void *p, const void *q);

#ifdef PATCHED
static long fresh[4] READ_MOSTLY = { 16 };
#endif
static long table[16] READ_MOSTLY = { 1 };

void work(int n)
{
#ifdef PATCHED
	outp(table, table + 16);
	fresh[n & 3] += n;
	outp(fresh + (n & 3), NULL);
#else
	outp(table, table + n);
#endif
}
