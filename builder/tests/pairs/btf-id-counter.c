// SPDX-License-Identifier: GPL-2.0-or-later
// BTF ids on other lines, with other counters in their names.
//#Nothing
#include "kernel.h"

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
#define BTF_ID(name)                                                                 \
	__asm__(".pushsection .BTF_ids, \"a\"\n"                                     \
		".local " TEXT(name) "\n"                                            \
		".type " TEXT(name) ", STT_OBJECT\n"                                 \
		".size " TEXT(name) ", 4\n" TEXT(name) ":\n.zero 4\n"                \
		".popsection\n")

#ifdef PATCHED
#line 300
#endif
BTF_ID(PASTE(__BTF_ID__struct__sock__, __LINE__));
BTF_ID(PASTE(__BTF_ID__struct__sock__, __LINE__));
BTF_ID(PASTE(__BTF_ID__struct__file__, __LINE__));

int work(int x)
{
	return x;
}
