// SPDX-License-Identifier: GPL-2.0-or-later
// Static data of one name that no code uses, as tracepoints that are switched off leave them behind.
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

#define TPS(text)                                                                      \
	do {                                                                           \
		static const char *___tp_str __used __section("__tracepoint_str") = text; \
	} while (0)

int first(int x)
{
	TPS("first");
	return x + source();
}

int work(int x)
{
	TPS("work");
#ifdef PATCHED
	outside(x);
#endif
	return x + source();
}

int last(int x)
{
	TPS("last");
	return x - source();
}
