// SPDX-License-Identifier: GPL-2.0-or-later
// Each place that prints once remembers for itself.
//#Expect: changed work
//#Data: new __already_done
//#Data: new __already_done
//#Special: ftrace 1
#include "kernel.h"

int work(int x)
{
#ifdef PATCHED
	ONCE(printk("new\n"));
#endif
	ONCE(printk("work\n"));
	return x;
}

int still(int x)
{
	ONCE(printk("still\n"));
	return x + 1;
}
