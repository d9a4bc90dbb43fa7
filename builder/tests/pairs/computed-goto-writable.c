// SPDX-License-Identifier: GPL-2.0-or-later
// The table of labels can be written to, so it has to be the one of the running kernel, which leads into the old code.
//#Refuse: points-into-code table
#include "kernel.h"

int work(const u8 *code, int x)
{
	static const void *table[] = { &&add, &&sub, &&end };

	if (x == 3)
		table[1] = &&add;
	for (;;) {
		goto *table[*code++];
add:
#ifdef PATCHED
		x += 5;
#else
		x += 4;
#endif
		continue;
sub:
		x -= 7;
		continue;
end:
		return x;
	}
}
