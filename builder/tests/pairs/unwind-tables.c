// SPDX-License-Identifier: GPL-2.0-or-later
// .eh_frame changes with the code; the kernel does not read it.
//#Flags: -fasynchronous-unwind-tables
//#Expect: changed work
//#Special: ftrace 1
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
