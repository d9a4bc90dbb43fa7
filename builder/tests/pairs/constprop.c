// SPDX-License-Identifier: GPL-2.0-or-later
// A clone for a constant argument.
//#Flags: -fipa-cp-clone
//#Expect: changed inner.constprop
//#Special: ftrace 1
#include "kernel.h"

static __attribute__((__noinline__)) int inner(int x, int always)
{
	outside(x);
#ifdef PATCHED
	outside(always + 1);
#else
	outside(always);
#endif
	return x * always;
}

int work(int x)
{
	return inner(x, 4) + 1;
}

int still(int x)
{
	return inner(x + 2, 4) + 2;
}
