// SPDX-License-Identifier: GPL-2.0-only

//! rustc wants a crate of this name. The kernel has what such a crate usually contains, or does not
//! need it.

#![allow(internal_features)]
#![feature(compiler_builtins)]
#![compiler_builtins]
#![no_builtins]
#![no_std]
