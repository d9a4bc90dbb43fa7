/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What fixes that were written for kpatch may ask of kpatch's own module. A kernel with livepatch has no such module, so each
 * use leaves a mark for kmend, which refuses the fix and names the macro or function.
 */
#ifndef _KMEND_KPATCH_H
#define _KMEND_KPATCH_H

#include <linux/compiler.h>
#include <linux/types.h>

/* In the scope of a file the name of the mark has to be unlike all others, in a function it has one of its own. */
#define __KPATCH_UNSUPPORTED(what, mark) \
	static const char mark __used __section(".kpatch.unsupported." #what) = 1

#define KPATCH_LOAD_HOOK(fn) \
	__KPATCH_UNSUPPORTED(KPATCH_LOAD_HOOK, __kpatch_load_hook_##fn);
#define KPATCH_UNLOAD_HOOK(fn) \
	__KPATCH_UNSUPPORTED(KPATCH_UNLOAD_HOOK, __kpatch_unload_hook_##fn);

/* Variables that are found by an object and a string. */
static inline void *__kpatch_no_shadow(void *obj, const char *name)
{
	return obj && name ? NULL : NULL;
}

#define __KPATCH_NO_SHADOW(what, obj, name)					\
	({									\
		__KPATCH_UNSUPPORTED(what, __kpatch_mark);			\
		__kpatch_no_shadow(obj, name);					\
	})

#define kpatch_shadow_alloc(obj, name, size, gfp) \
	((void)(size), (void)(gfp), __KPATCH_NO_SHADOW(kpatch_shadow_alloc, obj, name))
#define kpatch_shadow_get(obj, name)	__KPATCH_NO_SHADOW(kpatch_shadow_get, obj, name)
#define kpatch_shadow_free(obj, name)	((void)__KPATCH_NO_SHADOW(kpatch_shadow_free, obj, name))

#endif /* _KMEND_KPATCH_H */
