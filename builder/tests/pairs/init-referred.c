// SPDX-License-Identifier: GPL-2.0-or-later
// New code that leads to code which is gone.
//#Refuse: refers-to-init work
#include "kernel.h"

noinline int __init early(void)
{
	return source();
}

int work(int x)
{
#ifdef PATCHED
	if (x > 100)
		return early();
#endif
	return x;
}
