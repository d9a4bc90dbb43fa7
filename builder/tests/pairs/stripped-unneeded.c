// SPDX-License-Identifier: GPL-2.0-or-later
// Without the symbols that no relocation needs either.
//#Strip: --strip-unneeded
//#Layout: bug_entry=12,jump_entry=16
//#Expect: changed work
//#Kernel: helper
//#Kernel: count
//#Kernel: key
//#Special: __bug_table 1
//#Special: __jump_table 1
//#Special: ftrace 1
#include "kernel.h"

struct static_key key;

static noinline int helper(int x)
{
	return x * source();
}

int work(int x)
{
	static int count;

	WARN_ON(x < 0);
	if (static_branch(&key))
		outside(count++);
#ifdef PATCHED
	outside(x);
#endif
	return helper(x) + source();
}
