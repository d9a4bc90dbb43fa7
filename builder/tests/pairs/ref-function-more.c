// SPDX-License-Identifier: GPL-2.0-or-later
// A __ref function that uses more of what is gone than before.
//#Refuse: refers-to-init grow
#include "kernel.h"

noinline int __init early(void)
{
	return source();
}

noinline int __init earlier(int x)
{
	return source() + x;
}

int __ref grow(int x)
{
	if (!source())
#ifdef PATCHED
		return early() + earlier(x);
#else
		return early();
#endif
	return x;
}
