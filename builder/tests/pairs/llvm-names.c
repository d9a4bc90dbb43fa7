// SPDX-License-Identifier: GPL-2.0-or-later
// clang's thin LTO puts a hash behind the names of functions that it makes global: another one with each build.
//#Expect: changed inner.llvm
//#Special: ftrace 1
#include "kernel.h"

#ifdef PATCHED
#define HASH "222"
#else
#define HASH "111"
#endif

int noinline inner(int x) __asm__("inner.llvm." HASH);
int noinline other(int x) __asm__("other.llvm." HASH);

int noinline inner(int x)
{
#ifdef PATCHED
	return x * 3;
#else
	return x * 2;
#endif
}

int noinline other(int x)
{
	return source() + x;
}

int work(int x)
{
	return inner(x) + other(x) + 1;
}
