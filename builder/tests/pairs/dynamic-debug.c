// SPDX-License-Identifier: GPL-2.0-or-later
// A descriptor on another line; it belongs to the place in the code.
//#Nothing
#include "kernel.h"

struct descriptor {
	const char *module, *function, *file, *format;
	unsigned int line : 18, class : 6, flags : 8;
} __attribute__((aligned(8)));

void debug(struct descriptor *d, const char *format);

#ifdef PATCHED
#line 300
#endif
int work(int x)
{
	static struct descriptor __section("__dyndbg") descriptor = { "m", "work", "work.c", "x\n", __LINE__, 0, 0 };

	debug(&descriptor, "x\n");
	return x;
}
