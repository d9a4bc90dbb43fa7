// SPDX-License-Identifier: GPL-2.0-or-later
// As GCC 13 and newer have it: each list is linked to the section of its code, in which the function that changes is not
// the first.
//#Arch: x86_64, as on ppc64le these lists are what ftrace goes by
//#Expect: changed sleeping
//#Expect: changed last
//#Special: ftrace 2
//#Special: __patchable_function_entries 2
#include "kernel.h"

#define __sched __section(".sched.text")
#define entry_of(name, section)                                                      \
	__asm__(".section __patchable_function_entries, \"awo\", @progbits, " section "\n" \
		".balign 8\n"                                                        \
		".quad " #name "\n"                                                  \
		".text\n")

int first(int x)
{
	return x + source();
}
entry_of(first, ".text.first");

__sched int still(int x)
{
	return x - source();
}
entry_of(still, ".sched.text");

__sched int sleeping(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	return x + 2 * source();
}
entry_of(sleeping, ".sched.text");

int last(int x)
{
#ifdef PATCHED
	outside(x);
#endif
	return x * source();
}
entry_of(last, ".text.last");
