// SPDX-License-Identifier: GPL-2.0-only

//! States: what a patch changes in the system beyond its functions, for the patches after it to know.
//!
//! Reference: <https://docs.kernel.org/livepatch/system-state.html>

use crate::bindings;
use core::{
    mem,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    }, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// A change of the system that a patch makes, with the version in which it makes it.
///
/// A patch that takes the place of others has to declare all states that those have, in the same
/// version or a newer one; the kernel does not enable it otherwise.
///
/// # Invariants
///
/// Its id is not 0.
#[repr(transparent)]
pub struct State(Opaque<bindings::klp_state>);

impl State {
    /// The state `id`, which must not be 0, in `version`.
    #[inline]
    pub const fn new(id: c_ulong, version: c_uint) -> Self {
        assert!(id != 0, "0 ends a list of states");
        // SAFETY: `klp_state` is made of integers and a pointer, which may be null.
        let mut state: bindings::klp_state = unsafe { mem::zeroed() };
        state.id = id;
        state.version = version;
        // INVARIANT: See above.
        Self(Opaque::new(state))
    }

    /// The state at `state`; [`None`] for a null pointer.
    ///
    /// # Safety
    ///
    /// If it is not null, there must be a state for as long as the reference is used.
    pub(super) unsafe fn from_raw<'a>(state: *mut bindings::klp_state) -> Option<&'a Self> {
        // SAFETY: `Self` is transparent, and the caller says that a state is there, if any.
        unsafe { state.cast::<Self>().as_ref() }
    }

    /// Its id.
    #[inline]
    pub fn id(&self) -> c_ulong {
        // SAFETY: No one changes it.
        unsafe { (*self.0.get()).id }
    }

    /// Its version.
    #[inline]
    pub fn version(&self) -> c_uint {
        // SAFETY: No one changes it.
        unsafe { (*self.0.get()).version }
    }

    /// The pointer that was stored with the state; null where none was.
    #[inline]
    pub fn data(&self) -> *mut c_void {
        self.slot().load(Ordering::Acquire)
    }

    /// Stores a pointer with the state, for this patch and for those after it.
    ///
    /// It must not lead into the module itself, which goes when another patch takes its place.
    #[inline]
    pub fn set_data(&self, data: *mut c_void) {
        self.slot().store(data, Ordering::Release);
    }

    fn slot(&self) -> &AtomicPtr<c_void> {
        // SAFETY: The field is a pointer, aligned, and lives as long as the state. The C side does
        // not touch it.
        unsafe { AtomicPtr::from_ptr(&raw mut (*self.0.get()).data) }
    }
}

// SAFETY: Shared references read what no one changes, or an atomic.
unsafe impl Sync for State {}
