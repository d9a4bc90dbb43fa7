// SPDX-License-Identifier: GPL-2.0-or-later
// Pointers to functions that are replaced lead to the running kernel's: one that arms itself again, one that a second
// function hands out, one in a new table, one that is compared with. Calls lead to the new code.
//#Expect: changed global_tick
//#Expect: changed tick
//#Expect: changed called
//#Expect: changed start
//#Expect: changed start_global
//#Expect: changed is_mine
//#Data: new table
//#Kernel: tick
//#Kernel: global_tick
//#Special: ftrace 6
#include "kernel.h"

struct timer {
	void (*function)(struct timer *);
	long expires;
};

void add_timer(struct timer *t);

static void tick(struct timer *t)
{
#ifdef PATCHED
	if (t->expires < 0)
		return;
#endif
	t->function = tick;
	t->expires++;
	add_timer(t);
}

noinline void global_tick(struct timer *t)
{
#ifdef PATCHED
	if (t->expires < 1)
		return;
#endif
	add_timer(t);
}

static noinline int called(int x)
{
#ifdef PATCHED
	x++;
#endif
	return source() + x;
}

void start(struct timer *t)
{
#ifdef PATCHED
	t->expires = called(1);
#endif
	t->expires += called(2);
	t->function = tick;
	add_timer(t);
}

void start_global(struct timer *t)
{
#ifdef PATCHED
	static void (*const table[2])(struct timer *) __used = { global_tick, tick };

	t->function = table[t->expires & 1];
#else
	t->function = global_tick;
#endif
}

int is_mine(struct timer *t)
{
#ifdef PATCHED
	return t->function == tick || called(2);
#else
	return t->function == tick;
#endif
}

void untouched(struct timer *t)
{
	t->function = tick;
}
