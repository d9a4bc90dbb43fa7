// SPDX-License-Identifier: GPL-2.0-or-later
// The same without debug information: it cannot be told.
//#Flags: -g0
//#Refuse: ambiguous-static-local done
#include "kernel.h"


int f(int x)
{
#ifndef PATCHED
	static u8 done;

	if (!done) {
		done = 1;
		outside(x);
	}
#endif
	return x + source();
}

int g(int x)
{
#ifdef PATCHED
	static u8 done;

	if (!done) {
		done = 1;
		outside(x + 1);
	}
#endif
	return x - source();
}
