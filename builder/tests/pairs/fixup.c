// SPDX-License-Identifier: GPL-2.0-or-later
// Handlers in .fixup, as kernels before 5.16 have them: each goes with its own place.
//#Expect: changed work
//#Expect: changed code
//#Special: .fixup 2
//#Special: __ex_table 2
//#Special: ftrace 2
#include "kernel.h"

int first(int *user)
{
	int value;

	get_user_fixup(value, user, -14);
	return value;
}

int work(int *user)
{
	int value;

	get_user_fixup(value, user, -14);
#ifdef PATCHED
	outside(value);
#endif
	return value;
}

int code(int *user)
{
	int value;

#ifdef PATCHED
	get_user_fixup(value, user, -22);
#else
	get_user_fixup(value, user, -14);
#endif
	return value;
}

int still(int *user)
{
	int value;

	get_user_fixup(value, user, -14);
	return value;
}
