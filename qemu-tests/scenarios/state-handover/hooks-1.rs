// SPDX-License-Identifier: GPL-2.0-or-later

//! The counter that readers of the version take their tickets from: set up by the first live patch
//! that has it, taken over by those that replace it, and taken down by the last.

use crate::{
    livepatch::{
        CallbackObject,
        Callbacks,
        Shadow, //
    },
    livepatch_hooks, //
};
use core::{
    ptr,
    sync::atomic::AtomicI32, //
};
use kernel::prelude::*;

const TICKETS: c_ulong = 0x6b6d_0003;

// SAFETY: The fix uses this id for an `atomic_t`, which is an integer of 32 bits that is changed
// atomically, and so does every version of this live patch.
static COUNTER: Shadow<AtomicI32> = unsafe { Shadow::new(TICKETS) };

pub struct Tickets;

#[vtable]
impl Callbacks for Tickets {
    fn pre_patch(object: &CallbackObject<'_>) -> Result {
        let counter = match object.previous_state(TICKETS)? {
            Some(previous) => previous.data(),
            None => COUNTER
                .alloc(ptr::null::<()>(), AtomicI32::new(100), GFP_KERNEL)?
                .as_ptr()
                .cast(),
        };
        object.state(TICKETS).ok_or(EINVAL)?.set_data(counter);
        Ok(())
    }

    fn post_unpatch(object: &CallbackObject<'_>) {
        // Where another live patch has it still, this one was taken back before it was in force.
        if let Ok(None) = object.previous_state(TICKETS) {
            // SAFETY: No task runs the code of the fix any more.
            unsafe { COUNTER.free(ptr::null::<()>()) };
        }
    }
}

livepatch_hooks! {
    callbacks: {
        vmlinux: Tickets,
    },
    states: {
        TICKETS: 1,
    },
}
