// SPDX-License-Identifier: GPL-2.0-or-later
// Entries with whole addresses, as before GENERIC_BUG_RELATIVE_POINTERS (powerpc before 6.0, RHEL 8): another line is no
// change there either, other flags are.
//#Expect: changed flagged
//#Special: __bug_table 1
//#Special: ftrace 1
#define bug_entry relative_bug_entry
#include "kernel.h"
#undef bug_entry

struct bug_entry {
	unsigned long bug_addr;
	const char *file;
	u16 line;
	u16 flags;
};

#ifdef __powerpc64__
#define TRAP "1: tdnei %4, 0\n"
#else
#define TRAP "1: test %4, %4\njz 3f\nud2\n3:\n"
#endif

#define WARN_ABSOLUTE(condition, flags)                                              \
	__asm__ volatile(TRAP                                                        \
			 ".pushsection __bug_table, \"aw\"\n"                        \
			 "2: .8byte 1b\n"                                            \
			 ".8byte %c0\n"                                              \
			 ".2byte %c1, %c2\n"                                         \
			 ".org 2b + %c3\n"                                           \
			 ".popsection\n"                                             \
			 :                                                           \
			 : "i"(__FILE__), "i"(__LINE__), "i"(flags), "i"(sizeof(struct bug_entry)), \
			   "r"((long)!!(condition)))

#ifdef PATCHED
#line 300
#define FLAGS 3
#else
#define FLAGS 1
#endif
int work(int x)
{
	WARN_ABSOLUTE(x < 0, 1);
	return x + source();
}

int flagged(int x)
{
	WARN_ABSOLUTE(x < 0, FLAGS);
	return x - source();
}
