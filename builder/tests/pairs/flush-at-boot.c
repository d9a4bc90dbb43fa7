// SPDX-License-Identifier: GPL-2.0-or-later
// A place that the kernel changes at boot, in its own image alone (arch/powerpc/include/asm/feature-fixups.h).
//#Arch: ppc64le
//#Refuse: changed-at-boot work
#include "kernel.h"

int work(int x)
{
	__asm__ volatile("951: nop\n"
			 ".pushsection __uaccess_flush_fixup, \"a\"\n"
			 ".align 2\n"
			 "952: .8byte 951b - 952b\n"
			 ".popsection\n");
#ifdef PATCHED
	outside(x);
#endif
	return x;
}
