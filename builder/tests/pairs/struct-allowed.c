// SPDX-License-Identifier: GPL-2.0-or-later
// The author knows that no object of this type outlives a call.
//#Allow: cell
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

struct cell {
	int value;
#ifdef PATCHED
	long more;
#endif
	long next;
};

long work(struct cell *cell)
{
	return cell->value + cell->next;
}
