// SPDX-License-Identifier: GPL-2.0-or-later
// The kernel writes the address into the code while it starts, and does so in its own image alone
// (arch/x86/include/asm/runtime-const.h).
//#Arch: x86_64
//#Refuse: changed-at-boot work
#include "kernel.h"

extern char *table;

int work(int x)
{
	char *base;

	__asm__("movabsq %1, %0\n1:\n"
		".pushsection runtime_ptr_table, \"a\"\n"
		".long 1b - 8 - .\n"
		".popsection\n"
		: "=r"(base)
		: "i"(0x0123456789abcdefull));
#ifdef PATCHED
	x += 2;
#endif
	return base[x];
}

int other(int x)
{
	return x * 3;
}
