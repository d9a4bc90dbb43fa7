// SPDX-License-Identifier: GPL-2.0-or-later
// Without debug information the sizes come from the command line.
//#Flags: -g0
//#Layout: jump_entry=16
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
	return x + 1;
}
