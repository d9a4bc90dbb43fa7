// SPDX-License-Identifier: GPL-2.0-or-later
// Static variables of functions, also of an inline function and of a block, and several of one name.
//#Refuse: data-type inlined
//#Refuse: data-type pair
//#Refuse: data-type local
//#Refuse: data-type of_type
#include "kernel.h"

struct a { int x, y; };
struct b { int y, x; };
#ifdef PATCHED
#define item struct b
#else
#define item struct a
#endif

static inline __attribute__((always_inline)) void *exchange(void *now)
{
	static item *inlined;
	void *before = inlined;

	inlined = now;
	return before;
}

int work(void *p)
{
	static struct { int n; int (*call)(item *); } local;
	struct named { item *first; };
	static struct named of_type;

	local.n += of_type.first ? of_type.first->x : 0;
	of_type.first = p;
	if (local.call)
		local.call(p);
	local.call = exchange(p);
	return local.n;
}

/* Two of one name, and one of them is another. */
int one_changes(void *p, int n)
{
	if (n) {
		static struct a *pair;
		void *q = pair;
		pair = p;
		return q == p;
	} else {
		static item *pair;
		void *q = pair;
		pair = p;
		return q != p;
	}
}
