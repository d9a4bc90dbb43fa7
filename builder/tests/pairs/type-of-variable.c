// SPDX-License-Identifier: GPL-2.0-or-later
// What the running kernel has in these variables are objects of the other type, or functions with other arguments: static,
// global, local to a function, per CPU, in arrays and in structs without a name.
//#Refuse: data-type cpu_head
//#Refuse: data-type elsewhere
//#Refuse: data-type head
//#Refuse: data-type hook
//#Refuse: data-type hooks
//#Refuse: data-type shared_head
//#Refuse: data-type state
//#Refuse: data-type table
//#Refuse: data-type last
#include "kernel.h"

struct a { int x, y; };
struct b { int y, x; };
#ifdef PATCHED
typedef struct b item;
typedef long (*hook_t)(struct b *);
#else
typedef struct a item;
typedef long (*hook_t)(struct a *);
#endif

static item *head;
item *shared_head;
extern item *elsewhere;
static item *table[4];
static hook_t hook;
static hook_t hooks[2];
static item * __section(".data..percpu") cpu_head;
static struct {
	int n;
	item *first;
} state;

int work(item *n)
{
	static item *last;
	item *old = head;

	head = shared_head;
	shared_head = table[n->x & 3];
	table[0] = cpu_head;
	cpu_head = elsewhere;
	elsewhere = state.first;
	state.first = last;
	last = n;
	if (hook && hooks[1])
		return hook(n) + hooks[1](n);
	return old ? old->x : 0;
}
