// SPDX-License-Identifier: GPL-2.0-or-later
// A function loses __exit, and nothing else changes.
//#Refuse: storage-class helper
//#Refuse: no-ftrace-site helper
#include "kernel.h"

#ifdef PATCHED
#define WHERE
#else
#define WHERE __section(".exit.text") notrace
#endif
noinline int WHERE helper(int x)
{
	return source() + x;
}

int resume(int x)
{
	return x;
}
