// SPDX-License-Identifier: GPL-2.0-or-later
// A variable of a function becomes one of the file, so that another function can write it; a second one goes the other way. Whether
// they are the running kernel's cannot be told.
//#Refuse: ambiguous-static-local count
//#Refuse: ambiguous-static-local count
//#Refuse: ambiguous-static-local total
#include "kernel.h"

#ifdef PATCHED
static int count;
#else
static long total;
#endif

int work(int x)
{
#ifndef PATCHED
	static int count;
#endif
	count += x;
	outside(count);
	return count;
}

long sum(int x)
{
#ifdef PATCHED
	static long total;
#endif
	total += x;
#ifdef PATCHED
	count = 0;
#endif
	return total;
}
