// SPDX-License-Identifier: GPL-2.0-or-later
// An array of addresses without a name, which some compilers put into writable memory; another function has its own.
//#Expect: changed work
//#Expect: changed other
//#Special: ftrace 2
#include "kernel.h"

void sync(int n, void (**f)(int));
void fa(int x);
void fb(int x);

int work(int x)
{
	sync(2, (void (*[])(int)){ fa, fb });
#ifdef PATCHED
	x++;
#endif
	return x;
}

int still(int x)
{
	sync(2, (void (*[])(int)){ fb, fb });
	return x;
}

int other(int x)
{
#ifdef PATCHED
	sync(2, (void (*[])(int)){ fb, fa });
#else
	sync(2, (void (*[])(int)){ fa, fb });
#endif
	return x - 1;
}
