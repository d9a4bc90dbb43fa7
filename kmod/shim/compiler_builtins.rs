// SPDX-License-Identifier: GPL-2.0-only

//! rustc wants a crate of this name. What such a crate usually holds, the kernel has or does without.

#![allow(internal_features)]
#![feature(compiler_builtins)]
#![compiler_builtins]
#![no_builtins]
#![no_std]
