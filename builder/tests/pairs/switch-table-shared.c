// SPDX-License-Identifier: GPL-2.0-or-later
// A jump table of a function that shares its section with others.
//#Flags: -fjump-tables -fno-function-sections
//#Expect: changed act
//#Kernel[x86_64]: still
//#Kernel[x86_64]: below
//#Special: ftrace 1
#include "kernel.h"

#define BODY(first)                           \
	switch (x) {                          \
	case 0: outside(first); break;        \
	case 1: outside(source() + 2); break; \
	case 2: printk("two\n"); break;       \
	case 3: outside(source() * 9); break; \
	case 4: printk("four\n"); break;      \
	case 5: outside(-source()); break;    \
	case 6: printk("six\n"); break;       \
	}

void still(int x)
{
	BODY(4)
}

void act(int x)
{
#ifdef PATCHED
	BODY(source())
#else
	BODY(1)
#endif
}

void below(int x)
{
	BODY(5)
}
