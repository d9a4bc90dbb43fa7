// SPDX-License-Identifier: GPL-2.0-or-later
// A field in the middle moves what stands behind it: every user changes. The author says that all users are here.
//#Allow: thing
//#Expect: changed get_b
//#Expect: changed set_b
//#Special: ftrace 2
#include "kernel.h"

struct thing {
	int a;
#ifdef PATCHED
	int extra;
#endif
	int b;
};

int get_a(struct thing *t)
{
	return t->a;
}

int get_b(struct thing *t)
{
	return t->b;
}

void set_b(struct thing *t, int x)
{
	t->b = x;
}
