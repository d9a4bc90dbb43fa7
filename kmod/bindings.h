/* SPDX-License-Identifier: GPL-2.0-only */
/* Input of bindgen, which writes bindings_generated.rs from the target's own headers. */
#include <linux/gfp.h>
#include <linux/livepatch.h>
#include <linux/objtool.h>

/* Kernels before 6.14 have a section for each kind of annotation, not one section with types. */
#ifndef ANNOTYPE_NOENDBR
#define ANNOTYPE_NOENDBR 0
#endif

/* Their values contain casts, which bindgen only evaluates in constants. */
static const gfp_t LIVEPATCH_GFP_KERNEL = GFP_KERNEL;
static const gfp_t LIVEPATCH_GFP_ATOMIC = GFP_ATOMIC;
static const gfp_t LIVEPATCH_GFP_NOWAIT = GFP_NOWAIT;
