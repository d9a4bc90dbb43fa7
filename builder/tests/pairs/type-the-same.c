// SPDX-License-Identifier: GPL-2.0-or-later
// Other words for the same types: qualifiers, typedefs, signs of plain integers, a struct that is now defined or has another
// name, counters that became atomic, and types that live on the stack only.
//#Expect: changed work
//#Kernel: last
//#Kernel: other
//#Kernel: count
//#Kernel: first
//#Kernel: list
//#Special: ftrace 1
#include "kernel.h"

struct other;
#ifdef PATCHED
struct declared { int x; };
struct new_name { struct new_name *next; int (*call)(struct new_name *); };
typedef struct new_name named;
typedef struct other other_t;
typedef struct { int counter; } atomic_t;
typedef struct refcount_struct { atomic_t refs; } count_t;
#define qualified const volatile
#define number unsigned int
#else
struct declared;
struct old_name { struct old_name *next; int (*call)(struct old_name *); };
typedef struct old_name named;
#define other_t struct other
typedef struct { int counter; } count_t;
#define qualified
#define number int
#endif

struct list_head { struct list_head *next, *prev; };
struct holder {
	struct list_head list;
	struct declared *declared;
	qualified char *text;
	number count;
	number *counts;
	other_t *other;
	count_t refs;
	named *node;
	int (*get)(qualified char *qualified text, other_t *);
};

static qualified char *text;
static number count;
static other_t *other;
static struct declared *declared;
static named *first;
static count_t refs;
static struct list_head list = { &list, &list };

long work(struct holder *h)
{
	static other_t *last;
#ifdef PATCHED
	struct { other_t *p; int n; } local = { last, 1 };
#else
	struct { int n; other_t *p; } local = { 1, last };
#endif

#ifdef PATCHED
	outside(1);
#endif
	last = other;
	other = local.p;
	text = (char *)h->text;
	count += h->count + h->counts[0];
	first = h->node;
	declared = h->declared;
	list.next = h->list.next;
	return h->get(h->text, h->other) + first->call(first) + *(int *)&refs + *(int *)&h->refs;
}
