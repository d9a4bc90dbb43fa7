// SPDX-License-Identifier: GPL-2.0-or-later
// A function that is to be left out, and that only the fix has: the code that uses it would call nothing. A new variable of a
// section that is to be left out is carried, as the code that uses it is.
//#Refuse: kpatch-macro KPATCH_IGNORE_FUNCTION
//#Warn: change-ignored added
//#Warn: change-ignored counter
#include "kernel.h"

#ifdef PATCHED
static noinline int added(int x)
{
	outside(x);
	return x * 3;
}
int counter __section(".data.kpatch_counted") = 3;

static __used __section(".kpatch.ignore.functions") void *ignored_function = added;
static __used __section(".kpatch.ignore.sections") const char *ignored_section = ".data.kpatch_counted";
#endif

int work(int x)
{
#ifdef PATCHED
	return added(x) + counter;
#else
	return x;
#endif
}
