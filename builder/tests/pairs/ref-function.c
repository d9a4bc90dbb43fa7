// SPDX-License-Identifier: GPL-2.0-or-later
// A __ref function that uses what is gone once the kernel has started, and did so before: the kernel that runs has
// that reference too.
//#Expect[x86_64]: changed grow
//#Expect[ppc64le medium]: changed grow
//#Kernel[x86_64]: early
//#Kernel[ppc64le medium]: early
//#Kernel[x86_64]: table
//#Kernel[ppc64le medium]: table
//#Special[x86_64]: ftrace 1
//#Special[ppc64le medium]: ftrace 1
//#Refuse[ppc64le large]: refers-to-init .toc
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
