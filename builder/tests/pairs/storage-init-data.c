// SPDX-License-Identifier: GPL-2.0-or-later
// Data lose __initconst and __initdata: an array, a number, a global. The running kernel has freed them.
//#Refuse: storage-class global_level
//#Refuse: storage-class table
//#Refuse: init-function boot
#include "kernel.h"

#ifdef PATCHED
#define CONST
#define DATA
#else
#define CONST __section(".init.rodata")
#define DATA __section(".init.data")
#endif

static const int table[8] CONST = { 1, 2, 3, 4, 5, 6, 7, 8 };
static int level DATA = 3;
int global_level DATA = 4;

int __init boot(int x)
{
	return level + table[x & 7] + global_level;
}

int resume(int x)
{
#ifdef PATCHED
	return table[x & 7] + level + global_level;
#else
	return x;
#endif
}
