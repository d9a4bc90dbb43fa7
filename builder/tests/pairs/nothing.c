// SPDX-License-Identifier: GPL-2.0-or-later
// A comment and a name that the compiler does not see.
//#Nothing
#include "kernel.h"

#ifdef PATCHED
#define FACTOR (1 + 2)
#else
#define FACTOR 3
#endif

int scale(int x)
{
	return x * FACTOR;
}
