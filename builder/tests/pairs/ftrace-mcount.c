// SPDX-License-Identifier: GPL-2.0-or-later
// The calls that older compilers put at the local entry for ftrace (-mprofile-kernel).
//#Arch: ppc64le, others have one layout
//#Flags: -fpatchable-function-entry=0 -pg -mprofile-kernel
//#Expect: changed work
//#Expect: changed leaf
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
