// SPDX-License-Identifier: GPL-2.0-only

//! Bindings to `<linux/livepatch.h>`, and to objtool's annotations.
//!
//! The types that [`kernel::bindings`] has are those, so that values can go back and forth. What it
//! lacks is made anew.

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
#![allow(dead_code, unused_imports)]

use kernel::ffi;

pub use kernel::bindings::*;

include!("bindings_generated.rs");
