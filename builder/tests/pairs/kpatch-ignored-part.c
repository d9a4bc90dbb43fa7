// SPDX-License-Identifier: GPL-2.0-or-later
// A function that is to be left out and that the compiler has split: code of the fix jumps into the part, which need not
// take the arguments that it takes in the running kernel.
//#Flags: -fpartial-inlining --param=partial-inlining-entry-probability=90
//#Refuse: kpatch-macro KPATCH_IGNORE_FUNCTION
//#Warn: change-ignored slow.part
//#Warn: change-ignored slow
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
#ifdef PATCHED
	outside(5);
#endif
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

#ifdef PATCHED
static __used __section(".kpatch.ignore.functions") void *ignored_function = slow;
#endif
