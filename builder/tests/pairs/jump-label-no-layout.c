// SPDX-License-Identifier: GPL-2.0-or-later
// Without debug information and without the option there is no telling where an entry ends.
//#Flags: -g0
//#Refuse: unknown-entry-size __jump_table
#include "kernel.h"

struct static_key key;

int work(int x)
{
	if (static_branch(&key))
		outside(x);
#ifdef PATCHED
	outside(3);
#endif
	return x;
}
