// SPDX-License-Identifier: GPL-2.0-or-later
// Without debug information and without the option there is no telling where an entry ends.
//#Arch: ppc64le, others have alternatives
//#Flags: -g0
//#Refuse: unknown-entry-size __ftr_fixup
#include "kernel.h"

int work(int x)
{
	feature_section("sync", "isync", 2, 2, __ftr_fixup);
#ifdef PATCHED
	outside(x);
#endif
	return x;
}
