// SPDX-License-Identifier: GPL-2.0-or-later
// Two blocks of one function with a variable of the same name each; one becomes an error path, which turns their order round
// in the code.
//#Refuse: ambiguous-static-local n
#include "kernel.h"


int work(int x)
{
	if (x > 3) {
		static int n;

		n += x;
		outside(n);
#ifdef PATCHED
		return -22;
#endif
	} else {
		static int n;

		n -= x;
		outside(n);
	}
	return 0;
}
