// SPDX-License-Identifier: GPL-2.0-or-later
// module_exit() on a function that is called elsewhere too: it is known by its own name, and the live patch gets no
// second cleanup_module().
//#Expect: changed leave
//#Kernel: last
//#Special: ftrace 1
#include "kernel.h"

int last;

static noinline void leave(void)
{
#ifdef PATCHED
	last = 2 * source();
#else
	last = source();
#endif
}

void cleanup_module(void) __attribute__((alias("leave")));

int enter(int x)
{
	if (x < 0)
		leave();
	return x;
}
