// SPDX-License-Identifier: GPL-2.0-or-later
// A static function and a static datum, known to the code through entries of the TOC alone, that stay where they are.
//#Arch: ppc64le, others have no TOC
//#Flags: -mcmodel=large
//#Expect: changed work
//#Kernel: act
//#Kernel: operations
//#Special: ftrace 1
#include "kernel.h"

struct operations {
	int (*act)(int x);
};

static int act(int x)
{
	return x + source();
}

static struct operations operations = { act };

void enter(struct operations *o, int (*other)(int x));

void work(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	enter(&operations, act);
}
