// SPDX-License-Identifier: GPL-2.0-or-later
// An alias more, which no live patch can give.
//#Warn: modinfo-changed alias=pci:two
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define MODULE_INFO(text)                                                            \
	static const char __used __section(".modinfo") PASTE(__UNIQUE_ID_alias, __COUNTER__)[] = text

MODULE_INFO("alias=pci:one");
#ifdef PATCHED
MODULE_INFO("alias=pci:two");
#endif
MODULE_INFO("license=GPL");

int work(int x)
{
#ifdef PATCHED
	return x * 3;
#else
	return x * 2;
#endif
}
