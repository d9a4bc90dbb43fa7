// SPDX-License-Identifier: GPL-2.0-or-later
// The running kernel goes on to export it.
//#Warn: export-removed work
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

int work(int x)
{
#ifdef PATCHED
	return x * 3;
#else
	return x * 2;
#endif
}
#ifndef PATCHED
EXPORT_SYMBOL(work);
#endif
