// SPDX-License-Identifier: GPL-2.0-or-later
// Variables lose __ro_after_init, and nothing else changes: a write is a page fault.
//#Refuse: storage-class global_mode
//#Refuse: storage-class mode
#include "kernel.h"

#ifdef PATCHED
#define RO
#else
#define RO __section(".data..ro_after_init")
#endif

static int mode RO = 1;
int global_mode RO = 1;

int set(int x)
{
	mode = x;
	global_mode = x;
	return x + source();
}

int get(void)
{
	return mode;
}
