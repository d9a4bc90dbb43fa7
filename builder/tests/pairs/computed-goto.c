// SPDX-License-Identifier: GPL-2.0-or-later
// A table of labels stays what it is while the code around the labels changes: the new code has to have its own.
//#Expect: changed work
//#Data: new table
//#Special: ftrace 1
#include "kernel.h"

int work(const u8 *code, int x)
{
	static const void *const table[] = { &&add, &&sub, &&end };

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
