// SPDX-License-Identifier: GPL-2.0-or-later
// A member and a variable get another enum, one whose constants have other values; an enum without a name gets one in the middle.
//#Refuse: struct-layout struct dev
//#Refuse: struct-layout FLAG_NONE
//#Refuse: data-type last
#include "kernel.h"

enum was { WAS_IDLE, WAS_BUSY, WAS_DEAD };
enum now { NOW_DEAD, NOW_IDLE, NOW_BUSY };

enum {
	FLAG_NONE,
#ifdef PATCHED
	FLAG_NEW,
#endif
	FLAG_OLD,
	FLAG_MAX,
};

enum {
	NUMBER_ONE = 1,
	NUMBER_TWO = 2,
#ifdef PATCHED
	NUMBER_THREE = 3,
#endif
};

#ifdef PATCHED
#define STATE enum now
#define DEAD NOW_DEAD
#else
#define STATE enum was
#define DEAD WAS_DEAD
#endif

struct dev {
	STATE state;
	int flags;
};
struct dev *all;
static STATE last;
enum was kept;
enum now kept_too;

int work(struct dev *d)
{
	if (d->state == DEAD && d->flags == FLAG_OLD)
		outside(d->flags);
	last = d->state;
	return NUMBER_TWO;
}

int get(void)
{
	return last == DEAD;
}
