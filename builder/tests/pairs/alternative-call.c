// SPDX-License-Identifier: GPL-2.0-or-later
// A replacement that calls.
//#Expect: changed work
//#Special: .altinstr_replacement 1
//#Special: .altinstructions 1
//#Special: __mcount_loc 1
#include "kernel.h"

int work(int x)
{
	alternative("call source", "call outside", 0x42);
#ifdef PATCHED
	outside(x);
#endif
	return x;
}
