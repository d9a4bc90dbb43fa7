// SPDX-License-Identifier: GPL-2.0-or-later
// Other modules go on to call it with one argument.
//#Refuse: export-changed work
#include "kernel.h"

#ifdef PATCHED
int work(int x, long more)
{
	return x * 2 + more;
}
#else
int work(int x)
{
	return x * 2;
}
#endif
EXPORT_SYMBOL(work);
