// SPDX-License-Identifier: GPL-2.0-only

//! Bindings to the kernel's C headers: to all that `<linux/livepatch.h>` uses.

#![allow(
    clippy::all,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    dead_code
)]

use crate::ffi;

include!("bindings_generated.rs");
