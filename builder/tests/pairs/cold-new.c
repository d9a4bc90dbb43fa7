// SPDX-License-Identifier: GPL-2.0-or-later
// The fix makes the part that stands apart.
//#Flags: -freorder-blocks-and-partition
//#Expect: new work.cold
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

void fatal(const char *why) __attribute__((cold));

int work(int x)
{
#ifdef PATCHED
	if (x < 0) {
		fatal("negative");
		outside(x);
	}
#endif
	return x + source();
}
