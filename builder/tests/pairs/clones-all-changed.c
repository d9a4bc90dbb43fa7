// SPDX-License-Identifier: GPL-2.0-or-later
// Two clones in one caller: when that changes with them, nothing tells which of the new ones continues which. They come along
// as new functions, and nothing leads to the kernel's any more.
//#Flags: -fipa-cp-clone --param=ipa-cp-eval-threshold=1
//#Expect: new inner.constprop
//#Expect: new inner.constprop
//#Expect: new inner.constprop
//#Expect: changed work
//#Special: ftrace 4
#include "kernel.h"

static __attribute__((__noinline__)) int inner(int x, int always)
{
#ifdef PATCHED
	outside(x + 1);
#else
	outside(x);
#endif
	outside(always);
	return x * always + source();
}

noinline int work(int x)
{
#ifdef PATCHED
	if (x > 7)
		x = inner(x, 6) + inner(x + 1, 6);
#endif
	return inner(x, 4) + inner(x + 2, 5);
}
