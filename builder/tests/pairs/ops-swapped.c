// SPDX-License-Identifier: GPL-2.0-or-later
// The table itself leads elsewhere.
//#Refuse: data-changed ops
#include "kernel.h"

struct ops {
	int (*read)(int);
	int (*write)(int);
};

static __used int op_read(int x)
{
	return x + source();
}

static __used int op_write(int x)
{
	return x - source();
}

#ifdef PATCHED
const struct ops ops = { op_write, op_write };
#else
const struct ops ops = { op_read, op_write };
#endif
