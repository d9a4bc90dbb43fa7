// SPDX-License-Identifier: GPL-2.0-only

//! What a live patch uses of the `kernel` crate, for kernels that were built without one.
//!
//! The names, the paths and what they promise are those of the `kernel` crate, so that code that
//! uses it does not know which of the two it is. There is nothing here that a live patch does not
//! use.
//!
//! Nothing unwinds and nothing is formatted: `core` is built so that a panic is an invalid
//! instruction where it happens. The kernel reports it as an oops of the task that ran into it.

#![no_std]
#![feature(used_with_arg)]

pub mod alloc;
pub mod bindings;
pub mod error;
pub mod ffi;
mod module;
pub mod prelude;
pub mod sync;
pub mod types;

pub use macros;
pub use module::{
    Module,
    ThisModule, //
};

/// Produces a pointer to an object from a pointer to one of its fields.
///
/// # Safety
///
/// The pointer passed to this macro, and the pointer returned by this macro, must both be in
/// bounds of the same allocation.
#[macro_export]
macro_rules! container_of {
    ($field_ptr:expr, $Container:ty, $($fields:tt)*) => {{
        let offset: usize = ::core::mem::offset_of!($Container, $($fields)*);
        let field_ptr = $field_ptr;
        let container_ptr = field_ptr.byte_sub(offset).cast::<$Container>();
        $crate::assert_same_type(field_ptr, (&raw const (*container_ptr).$($fields)*).cast_mut());
        container_ptr
    }};
}

/// Helper for [`container_of!`].
#[doc(hidden)]
pub fn assert_same_type<T>(_: T, _: T) {}
