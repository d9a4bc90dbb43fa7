// SPDX-License-Identifier: GPL-2.0-or-later
// One of two exports gets a namespace, as Linux 6.4 and newer have it.
//#Refuse: export-changed other
#include "kernel.h"

#define EXPORT_SYMBOL_NS(name, space)                                                \
	__asm__(".pushsection .export_symbol, \"a\"\n"                               \
		".asciz \"GPL\"\n"                                                   \
		".asciz \"" space "\"\n"                                             \
		".balign 8\n"                                                        \
		".quad " #name "\n"                                                  \
		".popsection\n")

int work(int x)
{
	return x * 2;
}
EXPORT_SYMBOL(work);

int other(int x)
{
	return x * 3;
}
#ifdef PATCHED
EXPORT_SYMBOL_NS(other, "SPACE");
#else
EXPORT_SYMBOL_NS(other, "");
#endif
