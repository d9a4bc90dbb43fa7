// SPDX-License-Identifier: GPL-2.0-or-later
// The size of another kernel; the section's own relocations show the right one.
//#Flags: -g0
//#Layout: jump_entry=24
//#Expect: changed work
//#Kernel: key
//#Special: __jump_table 1
//#Special: ftrace 1
#include "kernel.h"

struct static_key key;

int work(int x)
{
	if (static_branch(&key))
		outside(x);
#ifdef PATCHED
	outside(3);
#endif
	return x;
}

int still(int x)
{
	if (static_branch(&key))
		outside(x);
	if (static_branch(&key))
		outside(x + 1);
	return x + 1;
}
