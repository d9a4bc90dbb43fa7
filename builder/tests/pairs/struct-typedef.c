// SPDX-License-Identifier: GPL-2.0-or-later
// A struct that has its name from a typedef, with a union without a name in it.
//#Refuse: struct-layout cell_t
#include "kernel.h"

typedef struct {
	union {
		int small;
#ifdef PATCHED
		long big;
#endif
	};
	u8 last;
} cell_t;

int work(cell_t *cell)
{
	return cell->small + cell->last;
}
