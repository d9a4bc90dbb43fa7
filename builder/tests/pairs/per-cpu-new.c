// SPDX-License-Identifier: GPL-2.0-or-later
// New per-cpu data: the module gets room for it.
//#Expect: changed work
//#Data: new hits
//#Special: ftrace 1
#include "kernel.h"

#ifdef PATCHED
static __section(".data..percpu") int hits;
#endif

int work(int x)
{
#ifdef PATCHED
#ifdef __powerpc64__
	long offset;

	/* The offset of the processor's data stands in the paca. */
	__asm__ volatile("ld %0, 48(13)" : "=r"(offset));
	++*(int *)((char *)&hits + offset);
#else
	__asm__ volatile("incl %%gs:%0" : "+m"(hits));
#endif
#endif
	return x;
}
