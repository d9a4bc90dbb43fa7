// SPDX-License-Identifier: GPL-2.0-or-later
// As Linux before 6.4 has it: a table for each export, and strings in a section of their own; the licence of one and
// the namespace of the other change.
//#Refuse: export-changed other
//#Refuse: export-changed work
#include "kernel.h"

#define EXPORT(name, list, space)                                                    \
	__asm__(".pushsection __ksymtab_strings, \"aMS\", %progbits, 1\n"            \
		"__kstrtab_" #name ": .asciz \"" #name "\"\n"                        \
		"__kstrtabns_" #name ": .asciz \"" space "\"\n"                      \
		".popsection\n"                                                      \
		".pushsection " list "+" #name ", \"a\"\n"                           \
		".balign 4\n"                                                        \
		".long " #name " - .\n"                                              \
		".long __kstrtab_" #name " - .\n"                                    \
		".long __kstrtabns_" #name " - .\n"                                  \
		".popsection\n")

int work(int x)
{
	return x * 2;
}

int other(int x)
{
	return x * 3;
}

int third(int x)
{
	return x * 4;
}
EXPORT(third, "___ksymtab", "");
#ifdef PATCHED
EXPORT(work, "___ksymtab_gpl", "");
EXPORT(other, "___ksymtab_gpl", "SPACE");
#else
EXPORT(work, "___ksymtab", "");
EXPORT(other, "___ksymtab_gpl", "");
#endif
