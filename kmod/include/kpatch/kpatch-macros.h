/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The macros that fixes written for kpatch use, with the meaning that they have there. None of them makes code or data for the
 * live patch by itself: they leave pointers in sections of their own, which kmend reads and does not carry.
 *
 * As in kpatch's header of this name, the macros for the scope of a file bring their semicolon.
 */
#ifndef _KMEND_KPATCH_MACROS_H
#define _KMEND_KPATCH_MACROS_H

#include <linux/compiler.h>
#include <linux/jiffies.h>
#include <linux/livepatch.h>
#include <linux/version.h>
#include "kpatch.h"
#include "kpatch-syscall.h"

/* Callbacks. A file belongs to vmlinux or to one module: the object that they are called for. */
typedef struct klp_object patch_object;

#define __KPATCH_CALLBACK(kind, func)						\
	static __typeof__(((struct klp_callbacks *)0)->kind)			\
		__kpatch_##kind##_callback					\
		__used __section(".kpatch.callbacks." #kind) = func;

#define KPATCH_PRE_PATCH_CALLBACK(func)		__KPATCH_CALLBACK(pre_patch, func)
#define KPATCH_POST_PATCH_CALLBACK(func)	__KPATCH_CALLBACK(post_patch, func)
#define KPATCH_PRE_UNPATCH_CALLBACK(func)	__KPATCH_CALLBACK(pre_unpatch, func)
#define KPATCH_POST_UNPATCH_CALLBACK(func)	__KPATCH_CALLBACK(post_unpatch, func)

/* Changes that the author wants to be left out: of one function, or of all that is in a section. */
#define KPATCH_IGNORE_FUNCTION(func)						\
	static void *__kpatch_ignore_function_##func				\
		__used __section(".kpatch.ignore.functions") = func;

#define KPATCH_IGNORE_SECTION(name)						\
	static const char *__UNIQUE_ID(kpatch_ignore_section)			\
		__used __section(".kpatch.ignore.sections") = name;

/* Refused: livepatch cannot replace a function while tasks are in it. */
#define KPATCH_FORCE_UNSAFE(func)						\
	static void *__kpatch_force_##func					\
		__used __section(".kpatch.force") = func;

/*
 * printk() is cold, so a compiler moves code that calls it without a condition out of the way. A condition that it cannot
 * see through keeps the code around it where it is.
 */
#define KPATCH_PRINTK(fmt, ...) \
	((void)(jiffies && (printk(fmt, ##__VA_ARGS__), 1)))
#define KPATCH_PRINTK_DEFERRED(fmt, ...) \
	((void)(jiffies && (printk_deferred(fmt, ##__VA_ARGS__), 1)))

/* Calls what a static call leads to at the moment, without a site that would be patched when that changes. */
#define KPATCH_STATIC_CALL(name) \
	(*(__typeof__(&STATIC_CALL_TRAMP(name)))READ_ONCE(STATIC_CALL_KEY(name).func))

#endif /* _KMEND_KPATCH_MACROS_H */
