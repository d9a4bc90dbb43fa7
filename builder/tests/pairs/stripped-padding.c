// SPDX-License-Identifier: GPL-2.0-or-later
// Call padding and a static function without its name.
//#Arch: x86_64, call depth tracking is its own
//#Flags: -fpatchable-function-entry=16,16
//#Strip: --strip-unneeded
//#Expect: changed op
//#Special: ftrace 1
//#Special: __patchable_function_entries 1
#include "kernel.h"

static int op(int x)
{
#ifdef PATCHED
	if (x < 0)
		return -22;
#endif
	return x + source();
}

static int other(int x)
{
	return x - source();
}

int (*const ops[])(int) = { op, other };
