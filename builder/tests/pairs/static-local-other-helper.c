// SPDX-License-Identifier: GPL-2.0-or-later
// A function uses another inline function instead of one, each with a variable of the same name: not the running kernel's.
//#Expect: changed work
//#Data: new warned
//#Special: ftrace 1
#include "kernel.h"

static inline void check(int x)
{
	static int warned;

	if (!warned) {
		warned = 1;
		outside(x);
	}
}

static inline void check_more(int x)
{
	static int warned;

	if (!warned) {
		warned = 1;
		outside(x + 100);
	}
}

int work(int x)
{
#ifdef PATCHED
	check_more(x);
#else
	check(x);
#endif
	return x;
}
