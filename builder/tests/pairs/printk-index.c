// SPDX-License-Identifier: GPL-2.0-or-later
// The index of printk's formats: a record moves, one is new. Nothing reads it in a live patch.
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

struct pi_entry {
	const char *fmt, *func, *file;
	unsigned int line;
	const char *level, *prefix;
} __attribute__((packed));

#define indexed(format)                                                              \
	do {                                                                         \
		static const struct pi_entry _entry = { format, __func__, "work.c", __LINE__, NULL, NULL }; \
		static const struct pi_entry *__used __section(".printk_index") _entry_ptr = &_entry; \
		printk(format);                                                      \
	} while (0)

#ifdef PATCHED
#line 300
#endif
int other(int x)
{
	indexed("other\n");
	return x;
}

int work(int x)
{
#ifdef PATCHED
	indexed("new\n");
#endif
	return x + source();
}
