// SPDX-License-Identifier: GPL-2.0-or-later

//! Has the kernel reboot after a panic for as long as zram is there, of which no function is replaced.

use crate::{
    livepatch::{
        CallbackObject,
        Callbacks, //
    },
    livepatch_hooks, //
};
use core::sync::atomic::{
    AtomicI32,
    Ordering, //
};
use kernel::prelude::*;

extern "C" {
    // An `int` of kernel/panic.c, which is read and written without any lock there too.
    static panic_timeout: AtomicI32;
}

static BEFORE: AtomicI32 = AtomicI32::new(0);

pub struct Reboot;

#[vtable]
impl Callbacks for Reboot {
    fn pre_patch(_object: &CallbackObject<'_>) -> Result {
        // SAFETY: The kernel has it at all times.
        BEFORE.store(
            unsafe { panic_timeout.load(Ordering::Relaxed) },
            Ordering::Relaxed,
        );
        Ok(())
    }

    fn post_patch(_object: &CallbackObject<'_>) {
        // SAFETY: As above.
        unsafe { panic_timeout.store(42, Ordering::Relaxed) };
    }

    fn post_unpatch(_object: &CallbackObject<'_>) {
        // SAFETY: As above.
        unsafe { panic_timeout.store(BEFORE.load(Ordering::Relaxed), Ordering::Relaxed) };
    }
}

livepatch_hooks! {
    callbacks: {
        zram: Reboot,
    },
}
