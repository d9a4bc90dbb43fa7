// SPDX-License-Identifier: GPL-2.0-or-later
// New static data, zeroed and not, and a table that refers to a function.
//#Expect: changed work
//#Data: new calls
//#Data: new limit
//#Data: new how
//#Kernel: step
//#Special: ftrace 1
#include "kernel.h"

int step(int x)
{
	return x + source();
}

int work(int x)
{
#ifdef PATCHED
	static int calls;
	static int limit = 7;
	static int (*volatile how)(int) = step;

	if (++calls > limit)
		return how(x);
	limit++;
#endif
	return step(x) * 2;
}
