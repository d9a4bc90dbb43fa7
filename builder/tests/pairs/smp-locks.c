// SPDX-License-Identifier: GPL-2.0-or-later
// Lock prefixes that a kernel on one processor removes.
//#Arch: x86_64, the lock prefix is its own
//#Expect: changed work
//#Kernel: counter
//#Special: .smp_locks 2
//#Special: ftrace 1
#include "kernel.h"

int counter;

int work(int x)
{
	locked_inc(counter);
#ifdef PATCHED
	locked_inc(counter);
#endif
	return x;
}

int still(int x)
{
	locked_inc(counter);
	return x + 1;
}
