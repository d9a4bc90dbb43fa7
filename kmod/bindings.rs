// SPDX-License-Identifier: GPL-2.0-only

//! Bindings to `<linux/livepatch.h>`, and to objtool's annotations.
//!
//! Types that [`kernel::bindings`] has are used from there, so that values can be passed in both
//! directions. bindgen generates only what is missing.

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
use pin_init::*;

pub use kernel::bindings::*;

include!("bindings_generated.rs");
