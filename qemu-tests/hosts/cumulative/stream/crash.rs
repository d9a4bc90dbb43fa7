// SPDX-License-Identifier: GPL-2.0-or-later

//! Kills the kernel as soon as the live patch is in force.

use crate::{
    livepatch::{
        CallbackObject,
        Callbacks, //
    },
    livepatch_hooks, //
};
use kernel::prelude::*;

pub struct Crash;

#[vtable]
impl Callbacks for Crash {
    fn post_patch(_object: &CallbackObject<'_>) {
        // SAFETY: There is none. A write to an address that no one may write to is an Oops, and that is wanted here.
        unsafe { core::ptr::write_volatile(8 as *mut u64, 1) };
    }
}

livepatch_hooks! {
    callbacks: {
        vmlinux: Crash,
    },
}
