// SPDX-License-Identifier: GPL-2.0-or-later
// A variable that is closed to writing once the module has started.
//#Refuse: init-data limit
#include "kernel.h"

#ifdef PATCHED
static int limit __section(".data..ro_after_init") = 3;
#endif

int work(int x)
{
#ifdef PATCHED
	limit += x;
	return limit;
#else
	return x;
#endif
}
