// SPDX-License-Identifier: GPL-2.0-only

//! Bindings to the kernel's C headers: to all that `<linux/livepatch.h>` uses.

#![allow(dead_code, improper_ctypes)]
#![allow(non_camel_case_types, non_upper_case_globals, non_snake_case)]

use crate::ffi;

include!("bindings_generated.rs");
