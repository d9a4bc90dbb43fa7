// SPDX-License-Identifier: GPL-2.0-or-later
// A number that is no line: what stands beside it ends like a file's name, and kbuild names files by their path.
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

void take(const char *text, int number);

int work(int x)
{
#ifdef PATCHED
	take("quota.h", 9);
#else
	take("quota.h", 4);
#endif
	return x;
}
