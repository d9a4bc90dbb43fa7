// SPDX-License-Identifier: GPL-2.0-only

//! What a live patch uses of the `kernel` crate, for kernels that were built without one.
//!
//! The names, the paths and what they promise are those of the `kernel` crate, so that what is
//! on it does not know which of the two it is. There is nothing here that a live patch does not use.
//!
//! Nothing unwinds and nothing is formatted: `core` is built such that a panic is an invalid
//! instruction where it happens. The kernel reports it as an oops of the task that came by.

#![no_std]
#![feature(used_with_arg)]

pub mod bindings;
pub mod error;
pub mod ffi;
mod module;
pub mod prelude;
pub mod types;

pub use module::{
    Module,
    ThisModule, //
};
