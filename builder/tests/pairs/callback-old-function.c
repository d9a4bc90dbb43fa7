// SPDX-License-Identifier: GPL-2.0-or-later
// A callback that is a function of the running kernel, one of another file, and a pointer of no known kind.
//#Refuse: unknown-section __klp_mid_patch_callback_vmlinux
//#Refuse: callback-function elsewhere
//#Refuse: callback-function here
#include "kernel.h"

struct klp_object;
typedef int (*callback)(struct klp_object *);

#define POINTER callback __attribute__((used, section(".discard.klp_callback_ptrs")))

int elsewhere(struct klp_object *object);

int here(struct klp_object *object)
{
	return !object;
}

#ifdef PATCHED
static noinline int fresh(struct klp_object *object)
{
	return 0;
}

POINTER __klp_pre_patch_callback_vmlinux = here;
POINTER __klp_post_patch_callback_vmlinux = elsewhere;
POINTER __klp_mid_patch_callback_vmlinux = fresh;
#endif

int use(struct klp_object *object)
{
#ifdef PATCHED
	return 2 * elsewhere(object);
#else
	return elsewhere(object);
#endif
}
