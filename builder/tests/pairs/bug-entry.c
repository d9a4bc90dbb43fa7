// SPDX-License-Identifier: GPL-2.0-or-later
// A new WARN_ON brings its entry, and one that stood there before keeps its own.
//#Expect: changed work
//#Special: __bug_table 2
//#Special: ftrace 1
#include "kernel.h"

int work(int x)
{
	WARN_ON(x < 0);
#ifdef PATCHED
	WARN_ON(x > 1000);
#endif
	return x + source();
}

int still(int x)
{
	WARN_ON(x < 0);
	return x - source();
}
