// SPDX-License-Identifier: GPL-2.0-or-later
// A jump table in .rodata, without a name; its twin does not change.
//#Flags: -fjump-tables
//#Expect: changed act
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
