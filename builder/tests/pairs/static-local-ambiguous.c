// SPDX-License-Identifier: GPL-2.0-or-later
// Two static locals of one name in one function, and one of them goes: which stayed?
//#Refuse: ambiguous-static-local count
#include "kernel.h"

int work(int x)
{
#ifndef PATCHED
	if (x > 3) {
		static int count;

		outside(count += x);
	}
#endif
	if (x > 5) {
		static int count;

		outside(count -= x);
	}
	if (x > 7) {
		static int count;

		outside(count ^= x);
	}
	return x;
}
