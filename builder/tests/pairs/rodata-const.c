// SPDX-License-Identifier: GPL-2.0-or-later
// A constant table: the running code keeps the old one.
//#Refuse: data-changed weights
#include "kernel.h"

#ifdef PATCHED
static const int weights[] = { 1, 2, 3, 9 };
#else
static const int weights[] = { 1, 2, 3, 4 };
#endif

int work(unsigned x)
{
	return weights[x & 3];
}
