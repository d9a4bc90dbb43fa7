// SPDX-License-Identifier: GPL-2.0-or-later
// New code writes to what stays read-only by way of its address: a function that is known to write, a register that holds
// it, another block. Functions that only read, unknown functions, a pointer that may be to something else, and a write that
// the running function has as well are left alone.
//#Refuse: writes-read-only clears
//#Refuse: writes-read-only copies
//#Refuse: writes-read-only assigns
//#Refuse: writes-read-only casts
//#Refuse: writes-read-only parses
//#Refuse: writes-read-only prints
//#Refuse: writes-read-only in_a_loop
//#Refuse: writes-read-only in_another_block
#include "kernel.h"

struct pair {
	int a, b;
	long more[40];
};

#define RO __section(".data..ro_after_init")
static struct pair both RO = { 1, 2 };
static char name[64] RO = "name";
static const int table[32] = { 1, 2, 3 };
static int level RO = 3;

void *memset(void *to, int with, unsigned long bytes);
void *memcpy(void *to, const void *from, unsigned long bytes);
int memcmp(const void *a, const void *b, unsigned long bytes);
int kstrtoint(const char *text, unsigned int base, int *to);
int snprintf(char *to, unsigned long bytes, const char *format, ...);
void unknown(const void *p);
void tell(struct pair *p);

int __init boot(int x)
{
	both.a = both.b = level = x;
	name[x & 63] = 0;
	return table[x & 31];
}

int clears(unsigned long n)
{
#ifdef PATCHED
	memset(&both, 0, n);
#endif
	return both.a;
}

int copies(const void *from, unsigned long n)
{
#ifdef PATCHED
	if (n > 3)
		memcpy(&both.more[2], from, n);
#endif
	return both.a;
}

int assigns(const struct pair *from)
{
#ifdef PATCHED
	both = *from;
#endif
	return both.b;
}

int casts(unsigned long n)
{
#ifdef PATCHED
	memset((void *)table, 0, n);
#endif
	return table[n & 31];
}

int parses(const char *text)
{
#ifdef PATCHED
	int error = kstrtoint(text, 0, &level);

	if (error)
		return error;
#endif
	return level;
}

int prints(int x)
{
#ifdef PATCHED
	unknown(name);
	snprintf(name, sizeof(name), "%d", x);
#endif
	return name[x & 63];
}

int in_a_loop(int n)
{
#ifdef PATCHED
	struct pair *p = &both;
	int i;

	__asm__("" : "+r"(p));
	for (i = 0; i < n; i++)
		p->more[i] = source();
#endif
	return both.a + n;
}

int in_another_block(int n)
{
#ifdef PATCHED
	char *end = name;

	unknown(end);
	if (n > 2) {
		while (*end)
			end++;
		*end = 'x';
	}
#endif
	return name[n & 63];
}

int reads(const void *with, unsigned long n)
{
#ifdef PATCHED
	unknown(&both);
	tell(&both);
	unknown(table);
	return memcmp(&both, with, n) + memcmp(with, table, n);
#else
	return both.a + table[n & 31];
#endif
}

int reads_into(void *to, unsigned long n)
{
#ifdef PATCHED
	memcpy(to, &both, n);
	memset(to, table[3], n);
#endif
	return both.a;
}

int one_of_two(struct pair *given)
{
#ifdef PATCHED
	struct pair *p = source() ? given : &both;

	unknown(p);
	if (p != &both)
		memset(p, 0, 30);
	return p->a;
#else
	return given ? given->a : both.a;
#endif
}

int did_so_before(int x)
{
#ifdef PATCHED
	x++;
#endif
	if (source() == 3)
		memset(&both, x, sizeof(both));
	if (source() == 4)
		level = x;
	return both.a;
}
