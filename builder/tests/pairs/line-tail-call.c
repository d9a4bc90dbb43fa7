// SPDX-License-Identifier: GPL-2.0-or-later
// The call with the line is the last thing that the function does.
//#Expect: changed above
//#Expect[x86_64]: changed below
//#Special[x86_64]: ftrace 2
//#Special[ppc64le]: ftrace 1
#include "kernel.h"

void lock_at(void *lock, const char *file, int line);

int above(int x)
{
#ifdef PATCHED
	outside(x);
#line 60
#endif
	return x;
}

void below(void *lock)
{
	lock_at(lock, __FILE__, __LINE__);
}
