// SPDX-License-Identifier: GPL-2.0-or-later
// Another initial value for data that a running kernel already uses.
//#Refuse: data-changed limit
#include "kernel.h"

#ifdef PATCHED
int limit = 8;
#else
int limit = 7;
#endif

int work(int x)
{
	return x > limit;
}
