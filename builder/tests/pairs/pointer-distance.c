// SPDX-License-Identifier: GPL-2.0-or-later
// A new table of distances to functions that are replaced, from its start or from each field, as sorted tables have them: they lead
// to the running kernel's. On ppc64le a module is too far away from the kernel for that.
//#Warn: new-callback fresh
//#Expect[x86_64]: new fresh
//#Expect[x86_64]: changed first
//#Expect[x86_64]: changed second
//#Expect[x86_64]: changed use
//#Data[x86_64]: new offsets
//#Kernel[x86_64]: first
//#Kernel[x86_64]: second
//#Special[x86_64]: ftrace 4
//#Refuse[ppc64le]: out-of-reach offsets
//#Refuse[ppc64le]: out-of-reach offsets
#include "kernel.h"

#ifdef PATCHED
extern const int offsets[];
__asm__(".pushsection .rodata.offsets, \"a\"\n"
	".balign 4\n"
	".globl offsets\n"
	".type offsets, @object\n"
	"offsets:\n"
	".long first - offsets\n"
	".long second - offsets\n"
	".long second - .\n"
	".long fresh - offsets\n"
	".size offsets, . - offsets\n"
	".popsection\n");

void fresh(void)
{
	source();
}
#endif

int first(int x)
{
#ifdef PATCHED
	x += 3;
#endif
	return x + source();
}

int second(int x)
{
#ifdef PATCHED
	x += 4;
#endif
	return x + source();
}

int use(int x)
{
#ifdef PATCHED
	return offsets[x & 3];
#else
	return x;
#endif
}
