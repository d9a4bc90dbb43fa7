// SPDX-License-Identifier: GPL-2.0-or-later
// Only the text differs: same bytes, same number of references.
//#Expect: changed greet
//#Special: ftrace 1
#include "kernel.h"

void greet(void)
{
#ifdef PATCHED
	printk("good evening, %s\n", "all");
#else
	printk("good morning, %s\n", "all");
#endif
}

void other(void)
{
	printk("good night, %s\n", "all");
}
