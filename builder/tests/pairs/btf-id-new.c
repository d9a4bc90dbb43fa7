// SPDX-License-Identifier: GPL-2.0-or-later
// A BTF id more: the build of the kernel fills it in, and nothing does so in a live patch.
//#Refuse: kernel-table __BTF_ID__func__work__50
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

BTF_ID(PASTE(__BTF_ID__struct__sock__, __LINE__));
BTF_ID(PASTE(__BTF_ID__struct__sock__, __LINE__));
BTF_ID(PASTE(__BTF_ID__struct__file__, __LINE__));

#ifdef PATCHED
#line 50
BTF_ID(PASTE(__BTF_ID__func__work__, __LINE__));
#endif

int work(int x)
{
	return x;
}
