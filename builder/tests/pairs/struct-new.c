// SPDX-License-Identifier: GPL-2.0-or-later
// A type that only the fix has, and one that lives on the stack alone.
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

#ifdef PATCHED
struct cell {
	int value;
};
#endif

int work(int x)
{
	struct local {
#ifdef PATCHED
		long more;
#endif
		int value;
	} local = { .value = x };

#ifdef PATCHED
	struct cell cell = { source() };
	local.more = source();
	outside(local.more + cell.value);
#endif
	return local.value;
}
