// SPDX-License-Identifier: GPL-2.0-or-later
// Constants that the compiler keeps in the TOC, without a relocation: one changes, one moves, one is shared.
//#Arch: ppc64le, others have no TOC
//#Expect: new added
//#Expect: changed work
//#Special: ftrace 2
#include "kernel.h"

#ifdef PATCHED
#define SEED 0x123456789abcdef3UL
#else
#define SEED 0x123456789abcdef1UL
#endif

unsigned long first(unsigned long x)
{
	return x * 0x9e3779b97f4a7c15UL;
}

#ifdef PATCHED
unsigned long added(unsigned long x)
{
	return x ^ 0xbf58476d1ce4e5b9UL;
}
#endif

unsigned long work(unsigned long x)
{
	return x ^ SEED;
}

unsigned long shares(unsigned long x)
{
	return x + 0x9e3779b97f4a7c15UL;
}

unsigned long still(unsigned long x)
{
	return x ^ 0x94d049bb133111ebUL;
}
