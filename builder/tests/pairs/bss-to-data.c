// SPDX-License-Identifier: GPL-2.0-or-later
// Zeroed data get a value.
//#Refuse: data-changed state
#include "kernel.h"

#ifdef PATCHED
int state = 5;
#else
int state;
#endif

int work(void)
{
	return state++;
}
