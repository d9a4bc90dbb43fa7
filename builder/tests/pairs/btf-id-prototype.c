// SPDX-License-Identifier: GPL-2.0-or-later
// A function that BPF programs call gets an argument: they know it by its BTF id, with the prototype of the running kernel. Others may
// get one, as whoever calls them is compiled with the fix.
//#Refuse: export-changed bpf_bounded
#include "kernel.h"

#define BTF_ID(name)                                                                 \
	__asm__(".pushsection .BTF_ids, \"a\"\n"                                     \
		".local " name "\n"                                                  \
		".type " name ", STT_OBJECT\n"                                       \
		".size " name ", 4\n" name ":\n.zero 4\n"                            \
		".popsection\n")

BTF_ID("__BTF_ID__func__bpf_bounded__12");

#ifdef PATCHED
#define LIMIT , long limit
#else
#define LIMIT
#define limit 30
#endif

noinline int bpf_bounded(int x LIMIT)
{
	return x > limit ? source() : x;
}

noinline int bounded(int x LIMIT)
{
	return x + 1 > limit ? source() : x;
}

int work(int x)
{
#ifdef PATCHED
	return bounded(x, 20);
#else
	return bounded(x);
#endif
}
