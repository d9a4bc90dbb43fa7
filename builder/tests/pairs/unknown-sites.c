// SPDX-License-Identifier: GPL-2.0-or-later
// A table that kmend does not know speaks of a place in the code that changes. It holds the same as before.
//#Refuse: unknown-section work
#include "kernel.h"

int work(int x)
{
	outside(x);
	__asm__ volatile("1: nop\n"
			 ".pushsection __other_sites, \"a\"\n"
			 ".long 1b - .\n"
			 ".popsection\n");
#ifdef PATCHED
	outside(3);
#else
	outside(2);
#endif
	return x;
}
