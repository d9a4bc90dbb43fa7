// SPDX-License-Identifier: GPL-2.0-or-later
// An alternative that jumps back into its function, and one that calls.
//#Arch: ppc64le, others have alternatives
//#Expect: changed work
//#Special: __ftr_alt_97 2
//#Special: __ftr_fixup 2
//#Special: ftrace 1
#include "kernel.h"

int work(int x)
{
	feature_section("b 97f; nop; 97:", "b 971b; nop", 1, 1, __ftr_fixup);
	feature_section("bl outside; nop", "bl source; nop", 2, 2, __ftr_fixup);
#ifdef PATCHED
	outside(x);
#endif
	return x;
}

int still(int x)
{
	feature_section("b 97f; nop; 97:", "b 971b; nop", 1, 1, __ftr_fixup);
	return x + 1;
}
