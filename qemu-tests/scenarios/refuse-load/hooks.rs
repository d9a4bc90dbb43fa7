// SPDX-License-Identifier: GPL-2.0-or-later

//! Refuses the live patch before it is applied.

use crate::{
    livepatch::{
        CallbackObject,
        Callbacks, //
    },
    livepatch_hooks, //
};
use kernel::prelude::*;

pub struct Check;

#[vtable]
impl Callbacks for Check {
    fn pre_patch(_object: &CallbackObject<'_>) -> Result {
        Err(ENODEV)
    }
}

livepatch_hooks! {
    callbacks: {
        vmlinux: Check,
    },
}
