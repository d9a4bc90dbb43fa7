// SPDX-License-Identifier: GPL-2.0-or-later
// A global variable instead of another: only the reference tells.
//#Expect: changed work
//#Kernel: hard_limit
//#Special: ftrace 1
#include "kernel.h"

int soft_limit, hard_limit;

int work(int x)
{
#ifdef PATCHED
	return x > hard_limit;
#else
	return x > soft_limit;
#endif
}
