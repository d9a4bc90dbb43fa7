// SPDX-License-Identifier: GPL-2.0-or-later
// Instructions that the kernel replaces while it starts, with and without a replacement.
//#Arch: x86_64, alternatives of this kind are its own
//#Expect: changed work
//#Expect: changed other
//#Special: .altinstr_replacement 2
//#Special: .altinstructions 3
//#Special: ftrace 2
#include "kernel.h"

int work(int x)
{
	alternative("lfence", "mfence; nop", 0x42);
#ifdef PATCHED
	outside(x);
#endif
	alternative("lfence", "", 0x43);
	return x;
}

int other(int x)
{
#ifdef PATCHED
	alternative("lfence", "sfence", 0x42);
#else
	alternative("lfence", "mfence", 0x42);
#endif
	return x;
}

int still(int x)
{
	alternative("lfence", "mfence", 0x42);
	return x + 1;
}
