// SPDX-License-Identifier: GPL-2.0-or-later
// Members keep their size and place, and point to another type or are called in another way.
//#Refuse: struct-layout struct array
//#Refuse: struct-layout struct by_value
//#Refuse: struct-layout struct inner
//#Refuse: struct-layout struct made
//#Refuse: struct-layout struct opened
//#Refuse: struct-layout struct ops
//#Refuse: struct-layout struct passed
//#Refuse: struct-layout struct pointer
//#Refuse: struct-layout struct returned
//#Refuse: struct-layout struct second
//#Refuse: struct-layout struct table
//#Refuse: struct-layout union either
#include "kernel.h"

struct a { int x, y; };
struct b { int y, x; };
#ifdef PATCHED
#define item struct b
#define number unsigned int
#else
#define item struct a
#define number int
#endif

struct pointer { item *p; };
struct second { item **p; };
struct array { item *p[3]; };
struct inner { struct { int n; item *p; } in; };
struct ops { int (*get)(item *); };
struct passed { int (*get)(number); };
struct returned { number (*get)(void); };
struct table { int (*get[2])(item *); };
struct by_value { item i; };
union either { item *p; long n; };
#ifdef PATCHED
struct opened { struct b *p; };
struct made { void *p; };
#else
struct opened { void *p; };
struct made { unsigned long p; };
#endif

long work(struct pointer *p, struct second *s, struct array *a, struct inner *i, struct ops *o, struct passed *c,
	  struct returned *r, struct table *t, struct by_value *v, union either *e, struct opened *n, struct made *m)
{
#ifdef PATCHED
	outside(1);
#endif
	return (long)p->p + (long)s->p + (long)a->p[1] + (long)i->in.p + o->get(p->p) + c->get(1) + r->get() +
	       t->get[0](p->p) + v->i.x + e->n + (long)n->p + (long)m->p;
}
