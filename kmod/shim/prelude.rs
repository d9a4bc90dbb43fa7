// SPDX-License-Identifier: GPL-2.0-only

//! What most code imports.

pub use crate::{
    alloc::flags::*,
    error::{
        code::*,
        Error,
        Result, //
    },
    ffi::{
        c_char,
        c_int,
        c_long,
        c_schar,
        c_short,
        c_uchar,
        c_uint,
        c_ulong,
        c_ushort,
        c_void, //
    },
    macros::vtable,
    module,
    ThisModule, //
};
pub use core::ffi::CStr;
pub use pin_init::Zeroable;
