// SPDX-License-Identifier: GPL-2.0-or-later
// Arguments taken apart: the clone's name carries a number that may move.
//#Expect: changed inner.isra
//#Special: ftrace 1
#include "kernel.h"

struct pair {
	int a, b;
};

static __attribute__((__noinline__)) int inner(struct pair *p)
{
#ifdef PATCHED
	return p->a * 7 + source();
#else
	return p->a * 5 + source();
#endif
}

int work(int x)
{
	struct pair p = { x, 1 };

	return inner(&p) + 1;
}

int still(int x)
{
	struct pair p = { x + 3, 1 };

	return inner(&p) + 2;
}
