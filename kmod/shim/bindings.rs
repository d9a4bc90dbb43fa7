// SPDX-License-Identifier: GPL-2.0-only

//! Bindings to the kernel's C headers: to everything that `<linux/livepatch.h>` uses.

#![allow(dead_code, improper_ctypes)]
#![allow(non_camel_case_types, non_upper_case_globals, non_snake_case)]

use crate::ffi;
use pin_init::Zeroable;

include!("bindings_generated.rs");

// SAFETY: `klp_func` contains pointers, integers, flags, list heads and a kobject, all of which can
// be zero.
unsafe impl Zeroable for klp_func {}

// SAFETY: `klp_object` contains pointers, optional function pointers, flags, list heads and a
// kobject, all of which can be zero.
unsafe impl Zeroable for klp_object {}

// SAFETY: `klp_patch` contains pointers, flags, list heads, a kobject, a work item and a
// completion, all of which can be zero.
unsafe impl Zeroable for klp_patch {}

// SAFETY: `klp_state` contains integers and a pointer, all of which can be zero.
unsafe impl Zeroable for klp_state {}

// SAFETY: `klp_callbacks` contains optional function pointers, which can be zero.
unsafe impl Zeroable for klp_callbacks {}
