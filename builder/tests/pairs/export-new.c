// SPDX-License-Identifier: GPL-2.0-or-later
// New exports, of a new function, a new variable, and of functions that are there: nothing outside of the fix can have used
// them, so they are left out, and nothing of their tables is copied.
//#Warn: export-left-out added
//#Warn: export-left-out counter
//#Warn: export-left-out helper
//#Expect: new added
//#Expect: changed other
//#Data: new counter
//#Special: ftrace 2
#include "kernel.h"

int helper(int x)
{
	return x + source();
}

#ifdef PATCHED
int counter;
EXPORT_SYMBOL(counter);

int added(int x)
{
	counter++;
	return x - 2 * source();
}
EXPORT_SYMBOL(added);
EXPORT_SYMBOL(helper);
#endif

int other(int x)
{
#ifdef PATCHED
	return added(x);
#else
	return x - source();
#endif
}
EXPORT_SYMBOL(other);
