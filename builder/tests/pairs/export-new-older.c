// SPDX-License-Identifier: GPL-2.0-or-later
// New exports as Linux before 6.4 has them: tables and strings of which nothing is copied.
//#Warn: export-left-out added
//#Warn: export-left-out helper
//#Expect: new added
//#Expect: changed other
//#Special: ftrace 2
#include "kernel.h"

#define EXPORT(name, list, space)                                                    \
	__asm__(".pushsection __ksymtab_strings, \"aMS\", %progbits, 1\n"            \
		"__kstrtab_" #name ": .asciz \"" #name "\"\n"                        \
		"__kstrtabns_" #name ": .asciz \"" space "\"\n"                      \
		".popsection\n"                                                      \
		".pushsection " list "+" #name ", \"a\"\n"                           \
		".balign 4\n"                                                        \
		"__ksymtab_" #name ": .long " #name " - .\n"                         \
		".long __kstrtab_" #name " - .\n"                                    \
		".long __kstrtabns_" #name " - .\n"                                  \
		".popsection\n")

int helper(int x)
{
	return x + source();
}

int other(int x);

#ifdef PATCHED
int added(int x)
{
	return x - 2 * source();
}
EXPORT(added, "___ksymtab_gpl", "");
EXPORT(helper, "___ksymtab", "");
#endif

int other(int x)
{
#ifdef PATCHED
	return added(x);
#else
	return x - source();
#endif
}
EXPORT(other, "___ksymtab", "");
