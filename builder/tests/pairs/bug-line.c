// SPDX-License-Identifier: GPL-2.0-or-later
// A WARN_ON on another line is no change.
//#Nothing
#include "kernel.h"

#ifdef PATCHED
#line 200
#endif
int work(int x)
{
	WARN_ON(x < 0);
	return x + source();
}
