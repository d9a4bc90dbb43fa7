
/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kmend reads this behind the kernel's own static_call_types.h, for code that makes static calls of a module: the kernel
 * cannot direct a call in a live patch that is loaded before that module. The call goes to what the key leads to at the
 * moment; a key that leads nowhere means a call without effect.
 */
#if defined(CONFIG_HAVE_STATIC_CALL) && !defined(__ASSEMBLY__)
extern long __static_call_return0(void);
#undef __raw_static_call
#undef __static_call
#define __raw_static_call(name)							\
({										\
	void *__kmend_to = *(void *volatile *)&STATIC_CALL_KEY(name).func;	\
										\
	(__typeof__(STATIC_CALL_TRAMP(name)) *)(__kmend_to ? __kmend_to : (void *)&__static_call_return0); \
})
#define __static_call(name)	__raw_static_call(name)
#endif
