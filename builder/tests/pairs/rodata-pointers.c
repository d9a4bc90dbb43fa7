// SPDX-License-Identifier: GPL-2.0-or-later
// A table of operations in which one function has changed: the table stays, its function is redirected.
//#Expect: changed op_read
//#Special: ftrace 1
#include "kernel.h"

struct ops {
	int (*read)(int);
	int (*write)(int);
};

static int op_read(int x)
{
#ifdef PATCHED
	if (x < 0)
		return -22;
#endif
	return x + source();
}

static int op_write(int x)
{
	return x - source();
}

const struct ops ops = { op_read, op_write };
