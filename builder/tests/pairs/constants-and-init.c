// SPDX-License-Identifier: GPL-2.0-or-later
// A new constant without a name moves that of an __init function in its section.
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

struct big {
	long a[6];
};

void take(struct big *b);

int __init boot(void)
{
	struct big b = { { 1, 2, 3, 4, 5, 6 } };

	take(&b);
	return 0;
}

int __init boot_more(void)
{
	struct big b = { { 7, 8, 9, 10, 11, 12 } };

	take(&b);
	return 0;
}

void work(void)
{
#ifdef PATCHED
	struct big b = { { 11, 22, 33, 44, 55, 66 } };

	take(&b);
#endif
	source();
}
