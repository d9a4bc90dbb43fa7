// SPDX-License-Identifier: GPL-2.0-or-later
// The author knows that both types are right for what is there.
//#Allow: head
//#Allow: struct holder
//#Expect: changed work
//#Kernel: head
//#Special: ftrace 1
#include "kernel.h"

struct a { int x, y; };
struct b { int x, y; };
#ifdef PATCHED
#define item struct b
#else
#define item struct a
#endif

struct holder { item *p; };
item *head;

int work(struct holder *h)
{
#ifdef PATCHED
	outside(1);
#endif
	head = h->p;
	return head->x;
}
