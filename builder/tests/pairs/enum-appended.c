// SPDX-License-Identifier: GPL-2.0-or-later
// New values at the end, before the one that counts them.
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

enum state {
	IDLE,
	BUSY,
#ifdef PATCHED
	BROKEN,
#endif
	STATES,
};

int work(enum state state)
{
	return state >= STATES ? -1 : source();
}
