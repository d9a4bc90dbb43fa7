// SPDX-License-Identifier: GPL-2.0-or-later
// An export under another licence.
//#Refuse: export-changed outside
#include "kernel.h"

int helper(int x)
{
	return x + source();
}
EXPORT_SYMBOL(helper);
#ifdef PATCHED
__asm__(".pushsection .export_symbol, \"a\"\n.asciz \"\"\n.asciz \"\"\n.balign 8\n.quad outside\n.popsection\n");
#else
__asm__(".pushsection .export_symbol, \"a\"\n.asciz \"GPL\"\n.asciz \"\"\n.balign 8\n.quad outside\n.popsection\n");
#endif
