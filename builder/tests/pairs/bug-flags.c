// SPDX-License-Identifier: GPL-2.0-or-later
// A WARN_ON that becomes a WARN_ON_ONCE differs in the flags of its entry alone.
//#Expect: changed work
//#Special: __bug_table 1
//#Special: ftrace 1
#include "kernel.h"

#ifdef PATCHED
#define FLAGS 3
#line 200
#else
#define FLAGS 1
#endif
int work(int x)
{
	WARN_WITH(x < 0, FLAGS);
	return x + source();
}

int still(int x)
{
	WARN_ON(x < 0);
	return x - source();
}
