// SPDX-License-Identifier: GPL-2.0-only

//! Bindings to `<linux/livepatch.h>`, which the kernel's own bindings lack, and to objtool's
//! annotations.
//!
//! Only types named `klp_*` are made anew; all others are those of [`kernel::bindings`], so that
//! values can go back and forth.

#![allow(
    clippy::all,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
#![allow(dead_code)]

use kernel::{
    bindings::*,
    ffi, //
};

include!("bindings_generated.rs");
