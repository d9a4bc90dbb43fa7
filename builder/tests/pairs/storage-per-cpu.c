// SPDX-License-Identifier: GPL-2.0-or-later
// A variable becomes a per-CPU one, and one that was per-CPU no longer is.
//#Refuse: storage-class unmade
//#Refuse: storage-class made
#include "kernel.h"

#define PERCPU __section(".data..percpu")
#ifdef PATCHED
#define MADE PERCPU
#define UNMADE
#else
#define MADE
#define UNMADE PERCPU
#endif

int made MADE = 5;
static int unmade UNMADE = 6;

int work(int x)
{
	unmade += x;
	return made + x;
}
