// SPDX-License-Identifier: GPL-2.0-or-later
// The slow way of a feature test stands in .altinstr_aux, one piece for each place (before Linux 6.x).
//#Arch: x86_64, alternatives of this kind are its own
//#Expect: changed work
//#Kernel: features
//#Special: .altinstr_aux 1
//#Special: .altinstructions 1
//#Special: ftrace 1
#include "kernel.h"

u8 features[4];

#define has_feature(bit)                                                             \
	({                                                                           \
		__label__ yes, no;                                                   \
		int has = 1;                                                         \
		__asm__ goto("1: jmp 6f\n"                                           \
			     "2: .skip 3, 0x90\n"                                    \
			     "3:\n"                                                  \
			     ".pushsection .altinstructions, \"a\"\n"                \
			     ".long 1b - .\n"                                        \
			     ".long 0\n"                                             \
			     ".4byte 1\n"                                            \
			     ".byte 3b - 1b\n"                                       \
			     ".byte 0\n"                                             \
			     ".popsection\n"                                         \
			     ".pushsection .altinstr_aux, \"ax\"\n"                  \
			     "6: testb %0, %c1(%%rip)\n"                              \
			     "jnz %l[yes]\n"                                         \
			     "jmp %l[no]\n"                                          \
			     ".popsection\n"                                         \
			     :                                                       \
			     : "i"(1 << (bit)), "i"(&features[bit & 3])              \
			     :                                                       \
			     : yes, no);                                             \
	yes:                                                                         \
		has = 1;                                                             \
		goto out_##bit;                                                      \
	no:                                                                          \
		has = 0;                                                             \
	out_##bit:                                                                   \
		has;                                                                 \
	})

int still(int x)
{
	if (has_feature(1))
		outside(x);
	return x;
}

int work(int x)
{
#ifdef PATCHED
	outside(x + 4);
#endif
	if (has_feature(2))
		outside(x);
	return x + 1;
}

int last(int x)
{
	if (has_feature(3))
		outside(x);
	return x + 2;
}
