// SPDX-License-Identifier: GPL-2.0-or-later
// Something is put into a section that no one knows.
//#Refuse: unknown-section .strange_table
#include "kernel.h"

int work(int x)
{
	return x + source();
}

__asm__(".pushsection .strange_table, \"a\"\n.quad work\n.popsection\n");
#ifdef PATCHED
__asm__(".pushsection .strange_table, \"a\"\n.quad printk\n.popsection\n");
#endif
