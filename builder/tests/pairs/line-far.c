// SPDX-License-Identifier: GPL-2.0-or-later
// Lines beyond what one instruction of ppc64le can load.
//#Expect: changed above
//#Special: ftrace 1
#include "kernel.h"

void might_sleep_at(const char *file, int line, int flags);
#define might_sleep() might_sleep_at(__FILE__, __LINE__, 0)

int above(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	return x;
}

#ifdef PATCHED
#line 40010
#else
#line 40000
#endif
int below(int x)
{
	might_sleep();
	return x + source();
}

#ifdef PATCHED
#line 100010
#else
#line 100000
#endif
int far_below(int x)
{
	might_sleep();
	return x - source();
}
