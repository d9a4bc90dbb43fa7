// SPDX-License-Identifier: GPL-2.0-or-later
// Functions in one section that jump to each other without relocations: no one outside can see them, and they do
// not need the TOC.
//#Refuse[x86_64]: shared-section work
//#Expect[ppc64le]: changed work
//#Kernel[ppc64le]: leaf
//#Special[ppc64le]: ftrace 1
#include "kernel.h"

#define __sched __section(".sched.text")

static noinline __sched int leaf(int x)
{
	return x * 3;
}

noinline __sched int work(int x)
{
#ifdef PATCHED
	return leaf(x + 2);
#else
	return leaf(x + 1);
#endif
}

noinline __sched int still(int x)
{
	return leaf(x) - 1;
}
