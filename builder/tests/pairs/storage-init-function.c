// SPDX-License-Identifier: GPL-2.0-or-later
// A function loses __init, as code that runs later calls it now: the running kernel has freed it.
//#Refuse: storage-class helper
//#Refuse: no-ftrace-site helper
#include "kernel.h"

#ifdef PATCHED
noinline int helper(int x)
#else
noinline int __init helper(int x)
#endif
{
	return source() + x;
}

int resume(int x)
{
#ifdef PATCHED
	if (x > 3)
		return helper(x);
#endif
	return x + source();
}
