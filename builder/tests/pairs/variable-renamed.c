// SPDX-License-Identifier: GPL-2.0-or-later
// Variables under new names in functions that change: a counter, a list, one in a function, a per-CPU one, a global one, a key. Whether the
// new one is the old one cannot be told.
//#Refuse: renamed-variable last_seen
//#Refuse: renamed-variable new_gate
//#Refuse: renamed-variable limit_bytes
//#Refuse: renamed-variable cpu_load
//#Refuse: renamed-variable all_users
//#Refuse: renamed-variable nr_hits
#include "kernel.h"

struct list { struct list *next, *prev; };

#ifdef PATCHED
#define hits nr_hits
#define all all_users
#define last last_seen
#define load cpu_load
#define limit limit_bytes
#define gate new_gate
#endif

static int hits;
static struct list all = { &all, &all };
static __section(".data..percpu") long load;
long limit = 30;
static struct static_key gate;

int count(int x)
{
#ifdef PATCHED
	if (x < 0)
		return 0;
#endif
	hits += x;
	return hits;
}

int total(void)
{
	return hits;
}

void add(struct list *new)
{
#ifdef PATCHED
	if (!new)
		return;
#endif
	new->next = all.next;
	new->prev = &all;
	all.next->prev = new;
	all.next = new;
}

int fresh(int x)
{
	static int last;
	int was = last;

#ifdef PATCHED
	if (x < 0)
		return was;
#endif
	last = x;
	return was != x;
}

long loads(int x)
{
#ifdef PATCHED
	x++;
#endif
	return load + x;
}

long limited(long x)
{
#ifdef PATCHED
	if (x < 0)
		return 0;
#endif
	return x > limit ? limit : x;
}

int gated(int x)
{
#ifdef PATCHED
	x++;
#endif
	if (static_branch(&gate))
		outside(x);
	return x;
}
