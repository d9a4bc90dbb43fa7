// SPDX-License-Identifier: GPL-2.0-or-later
// New variables beside ones that are gone: of another type, with another value, used by other functions or in another way, or where the
// old one stays in the file.
//#Expect: changed types
//#Expect: changed values
//#Expect: changed users
//#Expect: changed other_users
//#Expect: changed ways
//#Expect: changed stays
//#Expect: changed numbers
//#Data: new second
//#Data: new ready
//#Data: new level
//#Data: new lock
//#Data: new fresh
//#Data: new text
//#Special: ftrace 7
#include "kernel.h"

struct a { int x, y; };
struct b { long z; };

void take(void *p);

#ifdef PATCHED
static struct b *volatile second;
static volatile int ready = 1;
static volatile int level;
static long lock;
static volatile int kept __used;
static volatile int fresh;
static char *volatile text;
#else
static struct a *volatile first;
static volatile int busy;
static volatile int mode;
static volatile long stamp;
static volatile int kept;
static volatile unsigned long flags;
#endif

int types(void *p)
{
#ifdef PATCHED
	second = p;
	return second->z;
#else
	first = p;
	return first->x;
#endif
}

int values(int x)
{
#ifdef PATCHED
	return ready += x;
#else
	return busy += x;
#endif
}

int users(int x)
{
#ifdef PATCHED
	level = x;
#endif
	return x;
}

int other_users(int x)
{
#ifdef PATCHED
	return x;
#else
	return mode += x;
#endif
}

long ways(long x)
{
#ifdef PATCHED
	take(&lock);
#else
	stamp = x;
#endif
	return x;
}

int stays(int x)
{
#ifdef PATCHED
	return fresh += x;
#else
	return kept += x;
#endif
}

void *numbers(void *p)
{
#ifdef PATCHED
	text = p;
	return text;
#else
	flags = (unsigned long)p;
	return (void *)flags;
#endif
}
