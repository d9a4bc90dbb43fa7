// SPDX-License-Identifier: GPL-2.0-or-later
// A loop ends behind the end of a string, which is where the next one begins in the file; another string comes between the two
// in the live patch.
//#Flags: -fno-tree-vectorize
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

int work(const char *s)
{
	const char *p = "abcdefgh12345", *end = p + 14;
	int n = 0;

#ifdef PATCHED
	printk("a new string at first");
#endif
	for (; p != end; p++) {
		outside(*p);
		n += *p == *s;
	}
	printk("the next string");
	return n;
}
