// SPDX-License-Identifier: GPL-2.0-or-later
// Assembler without sizes: what changed there cannot be told apart, and must not be passed over.
//#Refuse: unnamed-code .text
#include "kernel.h"

#ifdef PATCHED
__asm__(".pushsection .text\n.globl quick\nquick: lea 2(%rdi), %eax\nret\n.popsection\n");
#else
__asm__(".pushsection .text\n.globl quick\nquick: lea 1(%rdi), %eax\nret\n.popsection\n");
#endif

int work(int x)
{
	return x + source();
}
