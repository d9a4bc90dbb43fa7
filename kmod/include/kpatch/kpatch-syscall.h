/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls of fixes that were written for kpatch. The running kernel has the data that tracing keeps of a system call, so
 * only the functions are defined, by the kernel's own macro.
 *
 * The body gets a function with a name of its own: the one that the kernel's macro makes is `inline` and so closed to ftrace,
 * and where the compiler did not inline it all the same, livepatch could not replace it. What is left of it is one call, which
 * is inlined into functions that can be replaced.
 */
#ifndef _KMEND_KPATCH_SYSCALL_H
#define _KMEND_KPATCH_SYSCALL_H

#include "kpatch-macros.h"

#define __KPATCH_SYSCALL(x, name, ...)						\
	static inline long __kpatch_do_sys##name(__MAP(x, __SC_DECL, __VA_ARGS__));	\
	__SYSCALL_DEFINEx(x, name, __VA_ARGS__)					\
	{									\
		return __kpatch_do_sys##name(__MAP(x, __SC_ARGS, __VA_ARGS__));	\
	}									\
	static inline long __kpatch_do_sys##name(__MAP(x, __SC_DECL, __VA_ARGS__))

#define KPATCH_SYSCALL_DEFINEx(x, name, ...)	__KPATCH_SYSCALL(x, name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE1(name, ...)	__KPATCH_SYSCALL(1, _##name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE2(name, ...)	__KPATCH_SYSCALL(2, _##name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE3(name, ...)	__KPATCH_SYSCALL(3, _##name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE4(name, ...)	__KPATCH_SYSCALL(4, _##name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE5(name, ...)	__KPATCH_SYSCALL(5, _##name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE6(name, ...)	__KPATCH_SYSCALL(6, _##name, __VA_ARGS__)

#endif /* _KMEND_KPATCH_SYSCALL_H */
