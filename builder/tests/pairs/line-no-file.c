// SPDX-License-Identifier: GPL-2.0-or-later
// A number that is no line: there is no file beside it.
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

void take(const char *text, int number);

int work(int x)
{
#ifdef PATCHED
	take("limit", 101);
#else
	take("limit", 100);
#endif
	return x;
}
