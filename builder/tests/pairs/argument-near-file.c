// SPDX-License-Identifier: GPL-2.0-or-later
// A constant right behind __FILE__ that moves against the order of the other lines is no line.
//#Expect: changed second
//#Special: ftrace 1
#include "kernel.h"

void note(const char *file, int line);

int first(int x)
{
#ifdef PATCHED
	note(__FILE__, 20);
#else
	note(__FILE__, 10);
#endif
	return x;
}

int second(int x)
{
#ifdef PATCHED
	note(__FILE__, 15);
#else
	note(__FILE__, 30);
#endif
	return x + 1;
}
