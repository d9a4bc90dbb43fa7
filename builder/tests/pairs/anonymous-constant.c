// SPDX-License-Identifier: GPL-2.0-or-later
// A constant without a name that code copies from: it changes, the code does not. On ppc64le the other one is in the same
// section, and code may reach both from one address.
//#Flags[ppc64le]: -fno-section-anchors
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

struct big {
	long a[6];
};

void take(struct big *b);

void work(void)
{
#ifdef PATCHED
	struct big b = { { 11, 22, 33, 44, 55, 67 } };
#else
	struct big b = { { 11, 22, 33, 44, 55, 66 } };
#endif

	take(&b);
}

void still(void)
{
	struct big b = { { 1, 2, 3, 4, 5, 6 } };

	take(&b);
}
