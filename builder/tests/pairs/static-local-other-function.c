// SPDX-License-Identifier: GPL-2.0-or-later
// A static variable goes from one function, and another function gets one of the same name: it is a new one.
//#Expect: changed f
//#Expect: changed g
//#Data: new done
//#Special: ftrace 2
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
