// SPDX-License-Identifier: GPL-2.0-or-later
// The three tables; alternatives that are nothing but nops stand nowhere, between others that do.
//#Arch: ppc64le, others have alternatives
//#Expect: changed neighbour
//#Expect: changed work
//#Expect: changed emptied
//#Special: __ftr_alt_97 2
//#Special: __ftr_fixup 1
//#Special: __fw_ftr_fixup 2
//#Special: __mmu_ftr_fixup 1
//#Special: ftrace 3
#include "kernel.h"

int first(int x)
{
	feature_section("sync", "", 1, 1, __ftr_fixup);
	return x;
}

int neighbour(int x)
{
#ifdef PATCHED
	feature_section("sync", "eieio", 1, 1, __mmu_ftr_fixup);
#else
	feature_section("sync", "isync", 1, 1, __mmu_ftr_fixup);
#endif
	return x + 1;
}

int work(int x)
{
	feature_section("sync", "", 2, 2, __ftr_fixup);
	feature_section("sync", "isync", 2, 2, __fw_ftr_fixup);
#ifdef PATCHED
	outside(x);
#endif
	return x;
}

int emptied(int x)
{
#ifdef PATCHED
	feature_section("sync", "", 4, 4, __fw_ftr_fixup);
#else
	feature_section("sync", "isync", 4, 4, __fw_ftr_fixup);
#endif
	return x;
}

int still(int x)
{
	feature_section("sync", "", 8, 8, __fw_ftr_fixup);
	return x + 3;
}

int last(int x)
{
	feature_section("sync", "isync", 8, 8, __ftr_fixup);
	return x + 4;
}
