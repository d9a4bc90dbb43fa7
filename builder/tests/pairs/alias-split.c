// SPDX-License-Identifier: GPL-2.0-or-later
// An alias gets a body of its own.
//#Refuse: alias-changed entry_b
#include "kernel.h"

noinline int entry_a(int x)
{
	return x + 1;
}

#ifdef PATCHED
int entry_b(int x)
{
	return source() + x;
}
#else
int entry_b(int x) __attribute__((alias("entry_a")));
#endif
