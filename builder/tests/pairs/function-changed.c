// SPDX-License-Identifier: GPL-2.0-or-later
// One function does something else; its twin and its caller do not.
//#Expect: changed scale
//#Special: ftrace 1
#include "kernel.h"

noinline int scale(int x)
{
#ifdef PATCHED
	return x * 5;
#else
	return x * 3;
#endif
}

noinline int twin(int x)
{
	return x * 3;
}

int caller(int x)
{
	return scale(x) + twin(x);
}
