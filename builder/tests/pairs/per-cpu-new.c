// SPDX-License-Identifier: GPL-2.0-or-later
// New per-cpu data: the module gets room for it.
//#Expect: changed work
//#Data: new hits
//#Special: __mcount_loc 1
#include "kernel.h"

#ifdef PATCHED
static __section(".data..percpu") int hits;
#endif

int work(int x)
{
#ifdef PATCHED
	__asm__ volatile("incl %%gs:%0" : "+m"(hits));
#endif
	return x;
}
