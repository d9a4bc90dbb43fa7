// SPDX-License-Identifier: GPL-2.0-or-later
// A function that stands in a list of pointers changes: the list goes on to name the old one, and ftrace leads on.
//#Expect: changed later
//#Special: ftrace 1
#include "kernel.h"

__asm__(".pushsection .pci_fixup_final, \"a\"\n.short 1, 2\n.long later - .\n.popsection\n");

int later(void)
{
#ifdef PATCHED
	outside(1);
#endif
	return source();
}
