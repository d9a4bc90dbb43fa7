// SPDX-License-Identifier: GPL-2.0-or-later
// Calls that a hypervisor's kernel replaces, as Linux before 6.8 lists them.
//#Arch: x86_64
//#Layout: paravirt_patch_site=16
//#Expect: changed work
//#Special: .parainstructions 2
//#Special: ftrace 1
#include "kernel.h"

extern void (*ops[4])(void);

#define paravirt_call(number)                                                        \
	__asm__ volatile("771: call *%c0\n772:\n"                                    \
			 ".pushsection .parainstructions, \"a\"\n"                   \
			 ".balign 8\n"                                               \
			 ".quad 771b\n"                                              \
			 ".byte " #number "\n"                                       \
			 ".byte 772b - 771b\n"                                       \
			 ".balign 8\n"                                               \
			 ".popsection\n" ::"i"(&ops[number]) : "memory")

int work(int x)
{
	paravirt_call(1);
#ifdef PATCHED
	x++;
#endif
	paravirt_call(2);
	return x;
}

int other(int x)
{
	paravirt_call(3);
	return x;
}
