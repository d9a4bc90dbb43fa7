// SPDX-License-Identifier: GPL-2.0-or-later
// DO_ONCE has two variables. A second one in the same function: which pair is which cannot be told from the code.
//#Refuse: ambiguous-static-local ___done
//#Refuse: ambiguous-static-local ___once_key
#include "kernel.h"

void do_it(u8 *done, struct static_key *key);

#define DO_ONCE()                                                                    \
	do {                                                                         \
		static u8 __section(".data..do_once") ___done;                       \
		static struct static_key ___once_key = { 1 };                        \
		if (___once_key.enabled && !___done)                                 \
			do_it(&___done, &___once_key);                               \
	} while (0)

int one(int x)
{
	DO_ONCE();
#ifdef PATCHED
	if (x > 1)
		DO_ONCE();
#endif
	return x;
}

int two(int x)
{
	DO_ONCE();
#ifdef PATCHED
	x++;
#endif
	return x;
}
