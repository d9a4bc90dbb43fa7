// SPDX-License-Identifier: GPL-2.0-or-later
// A new string in front moves all others.
//#Expect: changed a
//#Special: ftrace 1
#include "kernel.h"

void a(void)
{
#ifdef PATCHED
	printk("something quite new\n");
#endif
	outside(1);
}

void b(void)
{
	printk("the old text\n");
}

void c(void)
{
	printk("and %s\n", "another");
}
