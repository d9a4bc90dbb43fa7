// SPDX-License-Identifier: GPL-2.0-or-later
// A field is put where padding was: no other moves, but objects that exist have nothing sensible there.
//#Refuse: struct-layout struct cell
#include "kernel.h"

struct cell {
	int value;
#ifdef PATCHED
	int flags;
#endif
	long next;
};

long work(struct cell *cell)
{
#ifdef PATCHED
	if (cell->flags)
		return 0;
#endif
	return cell->value + cell->next;
}
