// SPDX-License-Identifier: GPL-2.0-or-later
// A variable that is gone and a new one are no change of a type.
//#Expect: changed work
//#Data: new new_head
//#Special: ftrace 1
#include "kernel.h"

struct a { int x, y; };
struct b { int y, x; };
#ifdef PATCHED
struct b *new_head;
#else
struct a *head;
#endif

int work(void *p)
{
#ifdef PATCHED
	new_head = p;
	return new_head->x;
#else
	head = p;
	return head->x;
#endif
}
