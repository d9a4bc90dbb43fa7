// SPDX-License-Identifier: GPL-2.0-or-later
// A class for lockdep belongs to its place in the code; a second one before it moves the number in its name.
//#Expect: changed work
//#Data: new __key
//#Data: new __key
//#Special: ftrace 1
#include "kernel.h"

struct lock_class_key {
	long words[4];
};

void lock_init(void *lock, const char *name, struct lock_class_key *key);

#define spin_lock_init(lock)                                                         \
	do {                                                                         \
		static struct lock_class_key __key;                                  \
		lock_init(lock, #lock, &__key);                                      \
	} while (0)

int work(int *first, int *second)
{
#ifdef PATCHED
	spin_lock_init(first);
#endif
	spin_lock_init(second);
	return 0;
}

int other(int *lock)
{
	spin_lock_init(lock);
	return 0;
}
