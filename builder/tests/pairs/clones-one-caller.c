// SPDX-License-Identifier: GPL-2.0-or-later
// Two clones that only a function which changes calls, and a third that moves their numbers: their code tells which is which.
//#Flags: -fipa-cp-clone --param=ipa-cp-eval-threshold=1
//#Expect: new inner.constprop
//#Expect: changed work
//#Kernel: inner.constprop
//#Kernel: inner.constprop
//#Special: ftrace 2
//#NotShown[ppc64le large]: work
//#NotShown[ppc64le large]: work
#include "kernel.h"

static __attribute__((__noinline__)) int inner(int x, int always)
{
	outside(x);
	outside(always);
	return x * always + source();
}

noinline int work(int x)
{
	return inner(x, 4) + inner(x + 2, 5)
#ifdef PATCHED
		+ inner(x + 3, 6)
#endif
		;
}
