// SPDX-License-Identifier: GPL-2.0-or-later
// A function that ftrace does not know.
//#Refuse: no-ftrace-site quiet
#include "kernel.h"

notrace int quiet(int x)
{
#ifdef PATCHED
	return x + 1;
#else
	return x;
#endif
}
