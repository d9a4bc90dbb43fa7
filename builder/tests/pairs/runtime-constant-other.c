// SPDX-License-Identifier: GPL-2.0-or-later
// Another value is to be written over the same bytes.
//#Arch: x86_64
//#Refuse: changed-at-boot work
#include "kernel.h"

#ifdef PATCHED
#define NAME "runtime_ptr_second"
#else
#define NAME "runtime_ptr_first"
#endif

int work(int x)
{
	char *base;

	__asm__("movabsq %1, %0\n1:\n"
		".pushsection " NAME ", \"a\"\n"
		".long 1b - 8 - .\n"
		".popsection\n"
		: "=r"(base)
		: "i"(0x0123456789abcdefull));
	return base[x];
}
