// SPDX-License-Identifier: GPL-2.0-or-later
// __func__ comes along.
//#Expect: changed work
//#Data: new __func__
//#Special: ftrace 1
#include "kernel.h"

int work(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	printk("%s\n", __func__);
	return x;
}

int still(int x)
{
	printk("%s\n", __func__);
	return x + 1;
}
