// SPDX-License-Identifier: GPL-2.0-or-later
// Two nops at the local entry, as kernels without stubs out of line have them.
//#Arch: ppc64le, others have one layout
//#Flags: -fpatchable-function-entry=2
//#Expect: changed work
//#Expect: changed leaf
//#Special: ftrace 2
#include "kernel.h"

int work(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	return x + source();
}

int leaf(int x)
{
#ifdef PATCHED
	return x + 2;
#else
	return x + 1;
#endif
}

int still(int x)
{
	return x - source();
}
