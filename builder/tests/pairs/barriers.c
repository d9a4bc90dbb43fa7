// SPDX-License-Identifier: GPL-2.0-or-later
// Barriers that the kernel makes cheaper, or does without, on some processors.
//#Arch: ppc64le, the tables are its own
//#Expect: changed work
//#Expect: changed nospec
//#Special: __barrier_nospec_fixup 2
//#Special: __lwsync_fixup 2
//#Special: ftrace 2
#include "kernel.h"

int work(int x)
{
	acquire_barrier();
	barrier_nospec();
#ifdef PATCHED
	acquire_barrier();
	outside(x);
#endif
	return x;
}

int nospec(int x)
{
#ifdef PATCHED
	barrier_nospec();
#else
	__asm__ volatile("nop" ::: "memory");
#endif
	return x + 1;
}

int still(int x)
{
	acquire_barrier();
	barrier_nospec();
	return x + 2;
}
