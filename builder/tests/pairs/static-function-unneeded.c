// SPDX-License-Identifier: GPL-2.0-or-later
// A static function that only a table leads to, stripped of its name: it is not to be missed.
//#Strip: --strip-unneeded
//#Expect: changed op
//#Special: ftrace 1
#include "kernel.h"

static int op(int x)
{
#ifdef PATCHED
	if (x < 0)
		return -22;
#endif
	return x + source();
}

int (*const ops[])(int) = { op };
