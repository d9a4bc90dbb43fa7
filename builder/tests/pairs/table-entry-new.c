// SPDX-License-Identifier: GPL-2.0-or-later
// A new entry of a table that the kernel reads in its own image.
//#Refuse: unknown-section second
#include "kernel.h"

static __used __section("handlers") int (*first)(void) = source;
#ifdef PATCHED
static __used __section("handlers") int (*second)(void) = source;
#endif

int work(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	return x;
}
