// SPDX-License-Identifier: GPL-2.0-or-later
// Only the table tells that the code hangs on another key.
//#Expect: changed work
//#Kernel: two
//#Special: __jump_table 1
//#Special: ftrace 1
#include "kernel.h"

struct static_key one, two;

int work(int x)
{
#ifdef PATCHED
	if (static_branch(&two))
#else
	if (static_branch(&one))
#endif
		outside(x);
	return x;
}
