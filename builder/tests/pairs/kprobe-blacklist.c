// SPDX-License-Identifier: GPL-2.0-or-later
// A function is closed to kprobes: the kernel collects these from its own image.
//#Refuse: kernel-table _kbl_addr_work
#include "kernel.h"

int work(int x)
{
	return x * 2;
}

#ifdef PATCHED
static unsigned long __used __section("_kprobe_blacklist") _kbl_addr_work = (unsigned long)work;
#endif
