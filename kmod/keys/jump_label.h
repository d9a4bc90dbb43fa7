
/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kmend reads this behind the kernel's own jump_label.h, for code that asks static keys of a module: the kernel cannot
 * switch a branch in a live patch that is loaded before that module. The key is read instead, as kernels without
 * CONFIG_JUMP_LABEL do it.
 */
#ifndef __ASSEMBLY__
#undef static_branch_likely
#undef static_branch_unlikely
#define static_branch_likely(x)		likely_notrace(static_key_enabled(&(x)->key))
#define static_branch_unlikely(x)	unlikely_notrace(static_key_enabled(&(x)->key))
#define static_key_true(x)		likely_notrace(static_key_enabled(x))
#define static_key_false(x)		unlikely_notrace(static_key_enabled(x))
#endif
