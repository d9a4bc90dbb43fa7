// SPDX-License-Identifier: GPL-2.0-or-later
// Strings, data and static locals by way of the TOC: an entry is as good as what it leads to.
//#Arch: ppc64le, others have no TOC
//#Flags: -mcmodel=large
//#Expect: new added
//#Expect: changed work
//#Kernel: count
//#Kernel: level
//#Special: ftrace 2
#include "kernel.h"

extern int limit;
static int level;

int first(int x)
{
	static int count;

	printk("first %d\n", count++);
	return x + limit;
}

#ifdef PATCHED
int added(int x)
{
	printk("added %d\n", x);
	return x;
}
#endif

int work(int x)
{
	static int count;

#ifdef PATCHED
	printk("work now %d\n", count++);
#else
	printk("work %d\n", count++);
#endif
	level = x;
	return limit;
}

int still(int x)
{
	static int count;

	printk("work %d\n", count++);
	return x + level;
}
