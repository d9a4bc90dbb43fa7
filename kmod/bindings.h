/* SPDX-License-Identifier: GPL-2.0-only */
/* What bindgen reads: the target's own headers in, bindings_generated.rs out. */
#include <linux/livepatch.h>
#include <linux/objtool_types.h>
