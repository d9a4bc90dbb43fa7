// SPDX-License-Identifier: GPL-2.0-or-later
// A new clone of a function comes before those that the kernel has, and their numbers move.
//#Flags: -fipa-cp-clone --param=ipa-cp-eval-threshold=1
//#Expect: new inner.constprop
//#Expect: changed last
//#Special: ftrace 2
#include "kernel.h"

static __attribute__((__noinline__)) int inner(int x, int always)
{
	outside(x);
	outside(always);
	return x * always + source();
}

noinline int work(int x)
{
	return inner(x, 4) + 1;
}

noinline int still(int x)
{
	return inner(x + 2, 5) + 2;
}

noinline int last(int x)
{
#ifdef PATCHED
	if (x > 7)
		return inner(x, 6) + inner(x + 1, 6);
#endif
	return x + 1;
}
