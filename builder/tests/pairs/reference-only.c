// SPDX-License-Identifier: GPL-2.0-or-later
// Not a byte differs beside the relocated field.
//#Expect: changed work
//#Kernel: two
//#Special: ftrace 1
#include "kernel.h"

static noinline int one(int x)
{
	return x + source();
}

static noinline int two(int x)
{
	return x - source();
}

int work(int x)
{
#ifdef PATCHED
	return two(x) + 1;
#else
	return one(x) + 1;
#endif
}

int keep(int x)
{
	return one(x) * two(x);
}
