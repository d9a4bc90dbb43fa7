// SPDX-License-Identifier: GPL-2.0-only

//! Synchronisation.

/// Atomic accesses.
pub mod atomic {
    use core::{
        cell::UnsafeCell,
        sync::atomic::{
            AtomicPtr,
            Ordering, //
        }, //
    };

    /// The ordering of a load that later accesses come after.
    pub struct Acquire;

    /// The ordering of a store that earlier accesses come before.
    pub struct Release;

    /// A value that is only accessed atomically. Only pointers have accesses here.
    #[repr(transparent)]
    pub struct Atomic<T>(UnsafeCell<T>);

    // SAFETY: All accesses are atomic.
    unsafe impl<T> Sync for Atomic<*mut T> {}

    impl<T> Atomic<*mut T> {
        /// The atomic pointer that is stored at `ptr`.
        ///
        /// # Safety
        ///
        /// `ptr` must be aligned and valid for `'a`, and all other accesses must be atomic.
        pub unsafe fn from_ptr<'a>(ptr: *mut *mut T) -> &'a Self {
            // SAFETY: `Self` is a transparent wrapper, and the caller promises that `ptr` is valid.
            unsafe { &*ptr.cast() }
        }

        /// Loads the pointer.
        #[inline]
        pub fn load(&self, _: Acquire) -> *mut T {
            self.as_core().load(Ordering::Acquire)
        }

        /// Stores `value`.
        #[inline]
        pub fn store(&self, value: *mut T, _: Release) {
            self.as_core().store(value, Ordering::Release);
        }

        #[inline]
        fn as_core(&self) -> &AtomicPtr<T> {
            // SAFETY: The pointer is valid for as long as `self`, and all accesses are atomic.
            unsafe { AtomicPtr::from_ptr(self.0.get()) }
        }
    }
}
