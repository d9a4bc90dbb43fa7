// SPDX-License-Identifier: GPL-2.0-or-later
// UBSAN's records hold the line; the array index is what it checks.
//#Flags: -fsanitize=bounds
//#Nothing
#include "kernel.h"

int table[4];

#ifdef PATCHED
#line 400
#endif
int work(int x)
{
	return table[x];
}
