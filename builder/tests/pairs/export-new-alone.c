// SPDX-License-Identifier: GPL-2.0-or-later
// Nothing but a new export: there is nothing to patch.
//#Nothing
//#Warn: export-left-out helper
#include "kernel.h"

int helper(int x)
{
	return x + source();
}
#ifdef PATCHED
EXPORT_SYMBOL(helper);
#endif
