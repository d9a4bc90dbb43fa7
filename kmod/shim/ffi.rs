// SPDX-License-Identifier: GPL-2.0-only

//! C's types, as the kernel compiles them: `char` is unsigned, `long` is as wide as a pointer.

#![allow(non_camel_case_types)]

pub use core::ffi::c_void;

/// C's `char`.
pub type c_char = u8;
/// C's `signed char`.
pub type c_schar = i8;
/// C's `unsigned char`.
pub type c_uchar = u8;
/// C's `short`.
pub type c_short = i16;
/// C's `unsigned short`.
pub type c_ushort = u16;
/// C's `int`.
pub type c_int = i32;
/// C's `unsigned int`.
pub type c_uint = u32;
/// C's `long`.
pub type c_long = isize;
/// C's `unsigned long`.
pub type c_ulong = usize;
/// C's `long long`.
pub type c_longlong = i64;
/// C's `unsigned long long`.
pub type c_ulonglong = u64;
