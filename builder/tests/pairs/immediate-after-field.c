// SPDX-License-Identifier: GPL-2.0-or-later
// A constant behind a rip-relative operand: what is compared with it stands elsewhere than the field says.
//#Arch: x86_64, elsewhere fields do not count from the end of an instruction
//#Flags: -fno-data-sections
//#Expect: changed work
//#Expect: changed set
//#Kernel: third
//#Kernel: first
//#Special: ftrace 2
#include "kernel.h"

static int first = 1, second = 2, third = 3;

int work(int x)
{
#ifdef PATCHED
	if (third == 0x12345)
#else
	if (second == 0x12345)
#endif
		return -1;
	return x;
}

int still(int x)
{
	if (first == 0x12345 || third == 0x54321)
		return -1;
	return x;
}

void set(int x)
{
	first = x;
	second = x + 1;
	third = x + 2;
}
