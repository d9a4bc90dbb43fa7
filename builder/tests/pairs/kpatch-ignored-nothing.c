// SPDX-License-Identifier: GPL-2.0-or-later
// kpatch's macros that name what this file does not have: a section with another name, a function of another file, and no
// function at all.
//#Refuse: kpatch-macro KPATCH_IGNORE_SECTION
//#Refuse: kpatch-macro KPATCH_IGNORE_FUNCTION
//#Refuse: kpatch-macro KPATCH_IGNORE_FUNCTION
#include "kernel.h"

int number;

int work(int x)
{
#ifdef PATCHED
	outside(3);
#endif
	return x;
}

#ifdef PATCHED
static __used __section(".kpatch.ignore.functions") void *ignored_functions[] = { outside, &number };
static __used __section(".kpatch.ignore.sections") const char *ignored_section = ".data.misspelt";
#endif
