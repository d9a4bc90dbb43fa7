// SPDX-License-Identifier: GPL-2.0-or-later
// A function gets another name, and its static variable goes with it: whether it is the same cannot be told.
//#Refuse: ambiguous-static-local count
#include "kernel.h"

#ifdef PATCHED
int second(int x)
#else
int first(int x)
#endif
{
	static int count;

	return count += x;
}
