// SPDX-License-Identifier: GPL-2.0-or-later
// What objtool is told about single instructions.
//#Arch: x86_64, objtool reads the annotations there alone
//#Expect: changed work
//#Special: .discard.annotate_insn 2
//#Special: ftrace 1
#include "kernel.h"

int work(int x)
{
	annotate(1);
	outside(x);
#ifdef PATCHED
	annotate(1);
	outside(x);
#endif
	return x;
}

int still(int x)
{
	annotate(1);
	outside(x);
	return x + 1;
}
