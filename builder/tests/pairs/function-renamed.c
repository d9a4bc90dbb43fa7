// SPDX-License-Identifier: GPL-2.0-or-later
// A static function under a new name is a new function; its caller refers to it.
//#Expect: new helper_locked
//#Expect: changed work
//#Special: ftrace 2
#include "kernel.h"

#ifdef PATCHED
#define helper helper_locked
#endif

static noinline int helper(int x)
{
	return x > source();
}

int work(int x)
{
	return helper(x) + 1;
}
