// SPDX-License-Identifier: GPL-2.0-or-later
// The same with a function that ftrace does not know.
//#Arch: ppc64le, others have one layout
//#Flags: -fpatchable-function-entry=0 -pg -mprofile-kernel
//#Refuse: no-ftrace-site quiet
#include "kernel.h"

notrace int quiet(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	return x + source();
}

int still(int x)
{
	return x - source();
}
