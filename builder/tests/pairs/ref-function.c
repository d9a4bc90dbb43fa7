// SPDX-License-Identifier: GPL-2.0-or-later
// A __ref function that uses what is gone once the kernel has started, and did so before: the kernel that runs has
// that reference too.
#include "kernel.h"

noinline int __init early(void)
{
	return source();
}

static int table[4] __section(".init.data") = { 1, 2, 3, 4 };

int __ref grow(int x)
{
#ifdef PATCHED
	if (x > 100)
		return -1;
#endif
	if (!source())
		return early() + table[x & 3];
	return x;
}
