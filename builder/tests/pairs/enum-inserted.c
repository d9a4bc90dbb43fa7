// SPDX-License-Identifier: GPL-2.0-or-later
// What is kept in memory as BUSY would mean something else.
//#Refuse: struct-layout enum state
#include "kernel.h"

enum state {
	IDLE,
#ifdef PATCHED
	BROKEN,
#endif
	BUSY,
	STATES,
};

int work(enum state state)
{
	return state == BUSY ? -1 : source();
}
