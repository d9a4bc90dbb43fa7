// SPDX-License-Identifier: GPL-2.0-or-later
// Assembler without sizes: what changed there cannot be told apart, and must not be passed over.
//#Refuse: unnamed-code .text
#include "kernel.h"

#ifdef PATCHED
#define ADDEND "2"
#else
#define ADDEND "1"
#endif
#ifdef __powerpc64__
__asm__(".pushsection .text\n.globl quick\nquick: addi 3, 3, " ADDEND "\nblr\n.popsection\n");
#else
__asm__(".pushsection .text\n.globl quick\nquick: lea " ADDEND "(%rdi), %eax\nret\n.popsection\n");
#endif

int work(int x)
{
	return x + source();
}
