// SPDX-License-Identifier: GPL-2.0-or-later
// __FILE__ and __LINE__ as arguments: what stands below the fix has not changed.
//#Expect: changed above
//#Special: ftrace 1
#include "kernel.h"

void might_sleep_at(const char *file, int line, int flags);
#define might_sleep() might_sleep_at(__FILE__, __LINE__, 0)

int above(int x)
{
#ifdef PATCHED
	outside(x);
#line 60
#endif
	might_sleep();
	return x;
}

int below(int x)
{
	might_sleep();
	return x + source();
}
