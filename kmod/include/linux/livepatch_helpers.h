/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What fixes can ask of a live patch, for kernels whose own include/linux/ has no file of this name (before 6.19): the
 * same names with the same meaning, so that one fix builds for all of them.
 */
#ifndef _LINUX_LIVEPATCH_HELPERS_H
#define _LINUX_LIVEPATCH_HELPERS_H

#include <linux/livepatch.h>
#include <linux/syscalls.h>

/*
 * A pointer to the function, under a name that says when it is called: kmend looks for both. The compiler checks the
 * function's type. A unit belongs to one klp object, so a second callback of the same kind in it is an error.
 */
#define __KLP_CALLBACK(kind, func)						\
	__typeof__(((struct klp_callbacks *)0)->kind)				\
		__used __section(".discard.klp_callback_ptrs")			\
		__klp_##kind##_callback_of_unit = func

#define KLP_PRE_PATCH_CALLBACK(func)	__KLP_CALLBACK(pre_patch, func)
#define KLP_POST_PATCH_CALLBACK(func)	__KLP_CALLBACK(post_patch, func)
#define KLP_PRE_UNPATCH_CALLBACK(func)	__KLP_CALLBACK(pre_unpatch, func)
#define KLP_POST_UNPATCH_CALLBACK(func)	__KLP_CALLBACK(post_unpatch, func)

/* Calls what a static call leads to at the moment, without a site that would be patched when that changes. */
#define KLP_STATIC_CALL(name) \
	(*(__typeof__(&STATIC_CALL_TRAMP(name)))READ_ONCE(STATIC_CALL_KEY(name).func))

/*
 * A system call without the data that tracing has about it: the running kernel has those already. The body is a function of its
 * own, since the one that the kernel's macro makes is `inline`, so closed to ftrace, and need not be inlined all the same.
 */
#define KLP_SYSCALL_DEFINE1(name, ...) KLP_SYSCALL_DEFINEx(1, _##name, __VA_ARGS__)
#define KLP_SYSCALL_DEFINE2(name, ...) KLP_SYSCALL_DEFINEx(2, _##name, __VA_ARGS__)
#define KLP_SYSCALL_DEFINE3(name, ...) KLP_SYSCALL_DEFINEx(3, _##name, __VA_ARGS__)
#define KLP_SYSCALL_DEFINE4(name, ...) KLP_SYSCALL_DEFINEx(4, _##name, __VA_ARGS__)
#define KLP_SYSCALL_DEFINE5(name, ...) KLP_SYSCALL_DEFINEx(5, _##name, __VA_ARGS__)
#define KLP_SYSCALL_DEFINE6(name, ...) KLP_SYSCALL_DEFINEx(6, _##name, __VA_ARGS__)
#define KLP_SYSCALL_DEFINEx(x, sname, ...)					\
	static inline long __klp_do_sys##sname(__MAP(x, __SC_DECL, __VA_ARGS__));	\
	__SYSCALL_DEFINEx(x, sname, __VA_ARGS__)				\
	{									\
		return __klp_do_sys##sname(__MAP(x, __SC_ARGS, __VA_ARGS__));	\
	}									\
	static inline long __klp_do_sys##sname(__MAP(x, __SC_DECL, __VA_ARGS__))

#endif /* _LINUX_LIVEPATCH_HELPERS_H */
