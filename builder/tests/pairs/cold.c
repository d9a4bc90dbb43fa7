// SPDX-License-Identifier: GPL-2.0-or-later
// A function and the part of it that stands apart; both come along.
//#Flags: -freorder-blocks-and-partition
//#Expect: changed work.cold
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

void fatal(const char *why) __attribute__((cold));

int work(int x)
{
	if (x < 0) {
		fatal("negative");
		outside(x);
	}
#ifdef PATCHED
	outside(1);
#endif
	return x + source();
}

int still(int x)
{
	if (x < 0) {
		fatal("negative too");
		outside(x + 1);
	}
	return x + source();
}
