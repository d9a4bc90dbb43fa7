// SPDX-License-Identifier: GPL-2.0-or-later
// Strings that end alike, which a linker may fold; the object has them one after the other.
//#Expect: changed first
//#Special: ftrace 1
#include "kernel.h"

void first(void)
{
#ifdef PATCHED
	printk("line\n");
#else
	printk("a line\n");
#endif
}

void second(void)
{
	printk("a line\n");
	printk("line\n");
}
