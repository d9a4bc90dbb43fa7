// SPDX-License-Identifier: GPL-2.0-or-later
// The rare half of a function, split off; its number may move.
//#Flags: -fpartial-inlining --param=partial-inlining-entry-probability=90
//#Expect: changed slow.part
//#Special: ftrace 1
#include "kernel.h"

static int slow(int *x)
{
	if (likely(!*x))
		return 0;
	for (int i = 0; i < *x; i++) {
		outside(i);
		printk("slow %d %d\n", i, source());
		outside(i * 3);
		outside(source() + i * 7);
#ifdef PATCHED
		outside(*x);
#endif
	}
	return source();
}

int work(int *x)
{
	return slow(x) + 1;
}

int other(int *x)
{
	return slow(x) + 2;
}

int third(int *x)
{
	return slow(x) + 3;
}
