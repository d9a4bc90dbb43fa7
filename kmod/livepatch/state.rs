// SPDX-License-Identifier: GPL-2.0-only

//! System states: what a live patch changes besides functions, so that later patches know of it.
//!
//! Reference: <https://docs.kernel.org/livepatch/system-state.html>

use crate::bindings;
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Release, //
    },
    types::Opaque, //
};

/// A change to the system that a live patch makes, and the version of that change.
///
/// A patch that replaces others must declare all their states, each in the same version or a newer
/// one. Otherwise the kernel does not enable it.
///
/// # Invariants
///
/// The id is not 0.
///
/// # Examples
///
/// ```
/// use kernel::livepatch::{State, Terminated};
///
/// const LIMIT: c_ulong = 0x6c69_6d01;
///
/// static STATES: Terminated<State, 1> = Terminated::new([State::new::<LIMIT>(2)]);
/// # let _ = &STATES;
///
/// let state = State::new::<LIMIT>(2);
/// assert!(state.id() == LIMIT && state.version() == 2);
/// assert!(state.data().is_null());
/// ```
#[repr(transparent)]
pub struct State(Opaque<bindings::klp_state>);

impl State {
    /// The state `ID` in `version`.
    #[inline]
    pub const fn new<const ID: c_ulong>(version: c_uint) -> Self {
        const { assert!(ID != 0, "the id 0 ends a list of states") };
        let mut state: bindings::klp_state = pin_init::zeroed();
        state.id = ID;
        state.version = version;
        // INVARIANT: The compiler has checked that `ID` is not 0.
        Self(Opaque::new(state))
    }

    /// The state that `state` points to, or [`None`] if it is null.
    ///
    /// # Safety
    ///
    /// If `state` is not null, it must point to a state that lives for at least `'a`.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(state: *mut bindings::klp_state) -> Option<&'a Self> {
        // SAFETY: `Self` is a transparent wrapper of `klp_state`, and a pointer that is not null is
        // valid for `'a`.
        unsafe { state.cast::<Self>().as_ref() }
    }

    /// The id.
    #[inline]
    pub fn id(&self) -> c_ulong {
        // SAFETY: The id is initialized, and nothing changes it after that.
        unsafe { (*self.0.get()).id }
    }

    /// The version.
    #[inline]
    pub fn version(&self) -> c_uint {
        // SAFETY: The version is initialized, and nothing changes it after that.
        unsafe { (*self.0.get()).version }
    }

    /// The pointer that was stored with the state; null if none was.
    #[inline]
    pub fn data(&self) -> *mut c_void {
        self.slot().load(Acquire)
    }

    /// Stores a pointer with the state, for this patch and for later ones.
    ///
    /// The pointer must not point into the module, which can be removed once another patch has
    /// replaced this one.
    #[inline]
    pub fn set_data(&self, data: *mut c_void) {
        self.slot().store(data, Release);
    }

    #[inline]
    fn slot(&self) -> &Atomic<*mut c_void> {
        // SAFETY: The field is an aligned pointer that lives as long as the state. The C side does
        // not access it, and C code of live patches uses READ_ONCE() or smp_load_acquire().
        unsafe { Atomic::from_ptr(&raw mut (*self.0.get()).data) }
    }
}

// SAFETY: Methods that take a shared reference read fields that do not change, or access an atomic.
unsafe impl Sync for State {}
