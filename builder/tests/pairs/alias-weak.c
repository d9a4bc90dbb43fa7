// SPDX-License-Identifier: GPL-2.0-or-later
// A weak alias may be another file's in the running kernel: the function goes by its own name there. What refers to it by
// its own name means it; what refers to the alias means whatever the kernel has.
//#Expect: changed distance
//#Expect: changed work
//#Expect: changed both
//#Kernel: kept
//#Kernel: arch_kept
//#Kernel: arch_distance
//#Kernel: distance
//#Special: ftrace 3
#include "kernel.h"

static noinline int distance(int i, int j)
{
#ifdef PATCHED
	return i * j + 2 * source();
#else
	return i * j + source();
#endif
}

int arch_distance(int i, int j) __attribute__((weak, alias("distance")));

static noinline int kept(int i)
{
	return i + source();
}

int arch_kept(int i) __attribute__((weak, alias("kept")));

int work(int x)
{
#ifdef PATCHED
	outside(3);
#endif
	return distance(x, 1) + arch_distance(x, 2) + kept(x) + arch_kept(x);
}

void *both(int n)
{
#ifdef PATCHED
	outside(n);
#endif
	return n ? (void *)distance : (void *)arch_distance;
}
