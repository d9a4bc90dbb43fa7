// SPDX-License-Identifier: GPL-2.0-or-later
// A weak function, which another unit may override.
//#Expect: changed arch_hook
//#Special: ftrace 1
#include "kernel.h"

__attribute__((weak)) int arch_hook(int x)
{
#ifdef PATCHED
	return x - 1;
#else
	return x;
#endif
}

int caller(int x)
{
	return arch_hook(x);
}
