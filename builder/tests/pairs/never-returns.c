// SPDX-License-Identifier: GPL-2.0-or-later
// A task that runs this is in it for good.
//#Warn: never-returns work
//#Expect: changed work
//#Expect: changed other
//#Special: ftrace 2
#include "kernel.h"

int work(void *data)
{
	for (;;) {
#ifdef PATCHED
		outside(2);
#else
		outside(1);
#endif
		while (source())
			barrier();
	}
}

/* Goes elsewhere at the end. */
void other(int x)
{
#ifdef PATCHED
	x++;
#endif
	outside(x);
}
