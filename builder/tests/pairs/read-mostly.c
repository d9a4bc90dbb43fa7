// SPDX-License-Identifier: GPL-2.0-or-later
// Data in sections of their own: one comes along, one stays where it is.
//#Expect: changed work
//#Data: new fresh
//#Kernel: limit
//#Special: ftrace 1
#include "kernel.h"

static int limit __section(".data..read_mostly") = 3;
#ifdef PATCHED
static int fresh __section(".data..read_mostly") = 4;
#endif

void set(int x)
{
	limit = x;
}

int work(int x)
{
#ifdef PATCHED
	if (x > fresh)
		fresh = x;
#endif
	return x > limit;
}
