// SPDX-License-Identifier: GPL-2.0-or-later
// A table grows: the running one cannot.
//#Refuse: data-changed table
#include "kernel.h"

#ifdef PATCHED
int table[8];
#else
int table[4];
#endif

int work(unsigned x)
{
	return table[x & 3];
}
