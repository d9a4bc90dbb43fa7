// SPDX-License-Identifier: GPL-2.0-or-later
// Callbacks as the macros of <linux/livepatch_helpers.h> leave them: two new functions, one of them for two kinds. What
// they call comes along as ever.
//#Expect: new before
//#Expect: new away
//#Expect: changed use
//#Callback: pre_patch before
//#Callback: pre_unpatch away
//#Callback: post_unpatch away
//#Kernel: level
//#Special: ftrace 3
#include "kernel.h"

struct klp_object;
typedef int (*can_fail)(struct klp_object *);
typedef void (*cannot)(struct klp_object *);

#define POINTER __attribute__((used, section(".discard.klp_callback_ptrs")))

int level;
int set(int value);

#ifdef PATCHED
static int before(struct klp_object *object)
{
	level = set(3);
	return level ? -16 : 0;
}
can_fail POINTER __klp_pre_patch_callback_vmlinux = before;

static void away(struct klp_object *object)
{
	level = set(0);
}
cannot POINTER __klp_pre_unpatch_callback_vmlinux = away;
cannot POINTER __klp_post_unpatch_callback_vmlinux = away;
#endif

int use(int value)
{
#ifdef PATCHED
	return set(value) + level;
#else
	return set(value);
#endif
}
