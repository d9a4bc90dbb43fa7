// SPDX-License-Identifier: GPL-2.0-or-later
// A replacement that calls.
//#Arch: x86_64, alternatives of this kind are its own
//#Expect: changed work
//#Special: .altinstr_replacement 1
//#Special: .altinstructions 1
//#Special: ftrace 1
#include "kernel.h"

int work(int x)
{
	alternative("call source", "call outside", 0x42);
#ifdef PATCHED
	outside(x);
#endif
	return x;
}
