// SPDX-License-Identifier: GPL-2.0-or-later
// Flags for what is to be done once, stripped of their names: each build has its own.
//#Strip: --strip-unneeded
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

int work(int x)
{
	ONCE(printk("work\n"));
#ifdef PATCHED
	outside(x);
#endif
	return x;
}

int still(int x)
{
	ONCE(printk("still\n"));
	return x + 1;
}
