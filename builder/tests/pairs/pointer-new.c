// SPDX-License-Identifier: GPL-2.0-or-later
// Pointers to new functions stay in the live patch: one handed out, one in a new table. Who keeps them is left with them.
//#Warn: new-callback fresh
//#Warn: new-callback second
//#Expect: new fresh
//#Expect: new second
//#Expect: changed release
//#Data: new table
//#Special: ftrace 3
#include "kernel.h"

struct rcu {
	struct rcu *next;
	void (*function)(struct rcu *);
};

void call_rcu(struct rcu *r, void (*function)(struct rcu *));
void use(const void *table);

#ifdef PATCHED
static void fresh(struct rcu *r)
{
	r->next = NULL;
}

static void second(struct rcu *r)
{
	r->next = r;
}

static void (*const table[2])(struct rcu *) = { second, NULL };
#endif

void release(struct rcu *r)
{
#ifdef PATCHED
	call_rcu(r, fresh);
	use(table);
#else
	r->next = NULL;
#endif
}
