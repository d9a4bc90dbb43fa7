// SPDX-License-Identifier: GPL-2.0-or-later
// kpatch's macros for leaving something out: the author's word counts.
//#Warn: change-ignored quiet
//#Warn: change-ignored start
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

int __init start(void)
{
#ifdef PATCHED
	outside(2);
#endif
	return source();
}

notrace int quiet(int x)
{
#ifdef PATCHED
	return x + 1;
#else
	return x;
#endif
}

int work(int x)
{
#ifdef PATCHED
	outside(3);
#endif
	return x;
}

#ifdef PATCHED
static __used __section(".kpatch.ignore.functions") void *ignored_function = quiet;
static __used __section(".kpatch.ignore.sections") const char *ignored_section = ".init.text";
#endif
