// SPDX-License-Identifier: GPL-2.0-only

//! What a live patch uses of the crate `pin_init`, for kernels that were built without one.

#![no_std]

/// Types for which all zeroes is a valid value.
///
/// # Safety
///
/// All zeroes must be a valid value of the type.
pub unsafe trait Zeroable {}

/// The value that is all zeroes.
pub const fn zeroed<T: Zeroable>() -> T {
    // SAFETY: All zeroes is a valid value of `T`.
    unsafe { core::mem::zeroed() }
}
