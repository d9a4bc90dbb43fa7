// SPDX-License-Identifier: GPL-2.0-or-later
// What is to be done once, as older kernels have it: the flag stands in .data.once, or is called __warned.
//#Expect: changed work
//#Data: new __warned
//#Special: ftrace 1
#include "kernel.h"

#ifdef PATCHED
#line 300
#endif
int work(int x)
{
	static u8 __section(".data.once") __warned;

	if (x > 3 && !__warned) {
		__warned = 1;
		printk("%s %d\n", __FILE__, __LINE__);
	}
#ifdef PATCHED
	x += source();
#endif
	return x;
}

int other(int x)
{
	static u8 __section(".data.once") __warned;

	if (x > 4 && !__warned) {
		__warned = 1;
		printk("%s %d\n", __FILE__, __LINE__);
	}
	return x;
}
