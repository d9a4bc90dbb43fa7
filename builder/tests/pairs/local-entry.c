// SPDX-License-Identifier: GPL-2.0-or-later
// A new function that others call, one that is called through a pointer, one without a local entry of its own.
//#Warn: new-callback later
//#Expect: new tally
//#Expect: new plain
//#Expect: new later
//#Expect: changed work
//#Kernel: count
//#Special: ftrace 4
#include "kernel.h"

static int count;

#ifdef PATCHED
static noinline int tally(int x)
{
	return count += x;
}

static noinline int plain(int x)
{
	return x * 7;
}

static int later(int x)
{
	return x - count;
}
#endif

void reset(int x)
{
	count = x;
}

void call_later(int (*function)(int x));

int work(int x)
{
#ifdef PATCHED
	call_later(later);
	return tally(x) + plain(x) + 1;
#else
	return count + x;
#endif
}
