// SPDX-License-Identifier: GPL-2.0-or-later
// A jump label's key is in the kernel; the entry goes along.
//#Expect: changed work
//#Kernel: key
//#Kernel: own_key
//#Special: __jump_table 2
//#Special: ftrace 1
#include "kernel.h"

struct static_key key;
static struct static_key own_key;

int work(int x)
{
	if (static_branch(&key))
		outside(x);
	if (static_branch(&own_key))
		outside(x + 1);
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

void flip(void)
{
	own_key.enabled = 1;
}
