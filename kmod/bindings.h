/* SPDX-License-Identifier: GPL-2.0-only */
/* What bindgen reads: the target's own headers in, bindings_generated.rs out. */
#include <linux/gfp.h>
#include <linux/livepatch.h>
#include <linux/objtool.h>

/* Kernels before 6.14 have a section for each kind of annotation instead of one with a type in it. */
#ifndef ANNOTYPE_NOENDBR
#define ANNOTYPE_NOENDBR 0
#endif

/* Their values are made of casts, which bindgen evaluates in constants alone. */
static const gfp_t LIVEPATCH_GFP_KERNEL = GFP_KERNEL;
static const gfp_t LIVEPATCH_GFP_ATOMIC = GFP_ATOMIC;
