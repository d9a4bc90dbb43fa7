// SPDX-License-Identifier: GPL-2.0-or-later
// Callbacks as kpatch's macros leave them: a section for each kind, with a pointer to the function; in kpatch's own header an
// empty pointer to the name of the object follows.
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

int level;
int set(int value);

#ifdef PATCHED
static int before(struct klp_object *object)
{
	level = set(3);
	return level ? -16 : 0;
}
static struct {
	int (*fn)(struct klp_object *);
	char *objname;
} kpatch_pre_patch_data __attribute__((used, section(".kpatch.callbacks.pre_patch"))) = { before };

static void away(struct klp_object *object)
{
	level = set(0);
}
static void (*pre)(struct klp_object *) __attribute__((used, section(".kpatch.callbacks.pre_unpatch"))) = away;
static void (*post)(struct klp_object *) __attribute__((used, section(".kpatch.callbacks.post_unpatch"))) = away;
#endif

int use(int value)
{
#ifdef PATCHED
	return set(value) + level;
#else
	return set(value);
#endif
}
