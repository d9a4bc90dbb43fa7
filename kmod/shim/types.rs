// SPDX-License-Identifier: GPL-2.0-only

//! Kernel types.

use core::{
    cell::UnsafeCell,
    marker::{
        PhantomData,
        PhantomPinned, //
    },
    mem::MaybeUninit, //
};

/// A value that belongs to the C side: it can change at any time, and may be uninitialized.
#[repr(transparent)]
pub struct Opaque<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    _pin: PhantomPinned,
}

impl<T> Opaque<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(MaybeUninit::new(value)),
            _pin: PhantomPinned,
        }
    }

    /// A pointer to the value.
    pub const fn get(&self) -> *mut T {
        UnsafeCell::get(&self.value).cast::<T>()
    }
}

/// A field of this type makes its struct neither [`Send`] nor [`Sync`].
pub type NotThreadSafe = PhantomData<*mut ()>;

/// The value of a field of type [`NotThreadSafe`].
#[allow(non_upper_case_globals)]
pub const NotThreadSafe: NotThreadSafe = PhantomData;
