// SPDX-License-Identifier: GPL-2.0-or-later
// Code for processors with and without a feature: the entry, and the alternative that it names.
//#Arch: ppc64le, others have alternatives
//#Expect: changed work
//#Expect: changed code
//#Expect: changed mask
//#Special: __ftr_alt_97 3
//#Special: __ftr_fixup 3
//#Special: ftrace 3
#include "kernel.h"

int first(int x)
{
	feature_section("sync", "isync", 1, 1, __ftr_fixup);
	return x;
}

int work(int x)
{
	feature_section("sync; nop", "lwsync; isync", 2, 2, __ftr_fixup);
#ifdef PATCHED
	outside(x);
#endif
	return x;
}

int code(int x)
{
#ifdef PATCHED
	feature_section("sync; nop", "isync; eieio", 4, 4, __ftr_fixup);
#else
	feature_section("sync; nop", "isync; nop", 4, 4, __ftr_fixup);
#endif
	return x + 1;
}

int mask(int x)
{
#ifdef PATCHED
	feature_section("sync", "isync", 8, 0, __ftr_fixup);
#else
	feature_section("sync", "isync", 8, 8, __ftr_fixup);
#endif
	return x + 2;
}

int still(int x)
{
	feature_section("sync; nop", "isync; nop", 4, 4, __ftr_fixup);
	return x + 3;
}
