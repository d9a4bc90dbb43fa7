// SPDX-License-Identifier: GPL-2.0-or-later
// As distributions ship objects: without debug information.
//#Strip: --strip-debug
//#Layout: bug_entry=12,jump_entry=16
//#Expect: changed work
//#Kernel: count
//#Kernel: key
//#Special: __bug_table 1
//#Special: __jump_table 1
//#Special: ftrace 1
#include "kernel.h"

struct static_key key;

int work(int x)
{
	static int count;

	WARN_ON(x < 0);
	if (static_branch(&key))
		outside(count++);
#ifdef PATCHED
	outside(x);
#endif
	return x + source();
}
