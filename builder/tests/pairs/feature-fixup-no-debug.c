// SPDX-License-Identifier: GPL-2.0-or-later
// The size of an entry from the command line.
//#Arch: ppc64le, others have alternatives
//#Flags: -g0
//#Layout: fixup_entry=48
//#Expect: changed work
//#Special: __ftr_alt_97 1
//#Special: __ftr_fixup 1
//#Special: ftrace 1
#include "kernel.h"

int work(int x)
{
	feature_section("sync", "isync", 2, 2, __ftr_fixup);
#ifdef PATCHED
	outside(x);
#endif
	return x;
}

int still(int x)
{
	feature_section("sync", "", 2, 2, __ftr_fixup);
	feature_section("sync", "isync", 2, 2, __ftr_fixup);
	return x + 1;
}
