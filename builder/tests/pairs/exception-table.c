// SPDX-License-Identifier: GPL-2.0-or-later
// A place that may fault, and how it is handled.
//#Expect: changed work
//#Expect: changed handler
//#Special: __ex_table 2
//#Special: ftrace 2
#include "kernel.h"

int work(int *user)
{
	int value;

	get_user(value, user, 3);
#ifdef PATCHED
	outside(value);
#endif
	return value;
}

int handler(int *user)
{
	int value;

#ifdef PATCHED
	get_user(value, user, 4);
#else
	get_user(value, user, 3);
#endif
	return value;
}

int still(int *user)
{
	int value;

	get_user(value, user, 3);
	return value;
}
