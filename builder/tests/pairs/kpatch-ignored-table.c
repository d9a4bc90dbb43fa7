// SPDX-License-Identifier: GPL-2.0-or-later
// A record without a name in a section that is to be left out, and a changed variable of another one.
//#Warn: change-ignored limit
//#Expect: changed work
//#Kernel: limit
//#Special: ftrace 1
#include "kernel.h"

int limit __section(".data.limits") =
#ifdef PATCHED
	5;
#else
	4;
#endif

#ifdef PATCHED
asm(".pushsection \"__tracepoints_ptrs\", \"a\"\n.long 0\n.popsection\n");

static __used __section(".kpatch.ignore.sections") const char *first = "__tracepoints_ptrs";
static __used __section(".kpatch.ignore.sections") const char *second = ".rela.data.limits";
#endif

int work(int x)
{
#ifdef PATCHED
	outside(limit);
#endif
	return x;
}

#ifdef PATCHED
static __used __section(".kpatch.ignore.sections") const char *third = ".data.limits";
#endif
