// SPDX-License-Identifier: GPL-2.0-or-later
// Two blocks with a variable of one name each change places: the code has the same bytes and calls others.
//#Refuse: ambiguous-static-local n
#include "kernel.h"

void first(int *);
void second(int *);

int work(int x)
{
#ifdef PATCHED
	{
		static int n;

		second(&n);
	}
	{
		static int n;

		first(&n);
	}
#else
	{
		static int n;

		first(&n);
	}
	{
		static int n;

		second(&n);
	}
#endif
	return x;
}
