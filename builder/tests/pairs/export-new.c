// SPDX-License-Identifier: GPL-2.0-or-later
// A new export.
//#Refuse: export-added helper
#include "kernel.h"

int helper(int x)
{
	return x + source();
}
#ifdef PATCHED
EXPORT_SYMBOL(helper);
#endif

int other(int x)
{
	return x - source();
}
EXPORT_SYMBOL(other);
