// SPDX-License-Identifier: GPL-2.0-or-later
// Room for a call in front of each function, as kernels with call depth tracking have it.
//#Arch: x86_64, call depth tracking is its own
//#Flags: -fpatchable-function-entry=16,16
//#Expect: changed work
//#Special: ftrace 1
//#Special: __patchable_function_entries 1
#include "kernel.h"

int work(int x)
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
