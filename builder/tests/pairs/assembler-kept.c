// SPDX-License-Identifier: GPL-2.0-or-later
// Assembler beside functions, in one section with them; it does not change.
//#Flags: -fno-function-sections
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

int quick(int);

#ifdef __powerpc64__
__asm__(".pushsection .text\n.globl quick\nquick: addi 3, 3, 1\nb source\n.popsection\n");
#else
__asm__(".pushsection .text\n.globl quick\nquick: lea 1(%rdi), %eax\ncall source\nret\n.popsection\n");
#endif

noinline int work(int x)
{
#ifdef PATCHED
	outside(source());
	outside(2);
#endif
	return x + source();
}

noinline int still(int x)
{
	return quick(x) + source();
}
