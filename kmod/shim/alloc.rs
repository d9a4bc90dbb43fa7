// SPDX-License-Identifier: GPL-2.0-only

//! How memory is allocated.

/// Flags of an allocation.
#[derive(Clone, Copy, PartialEq)]
pub struct Flags(crate::bindings::gfp_t);

/// Values of [`Flags`].
pub mod flags {
    use super::Flags;
    use crate::bindings;

    /// The allocation may sleep.
    pub const GFP_KERNEL: Flags = Flags(bindings::LIVEPATCH_GFP_KERNEL);

    /// The allocation must not sleep, and may use reserves.
    pub const GFP_ATOMIC: Flags = Flags(bindings::LIVEPATCH_GFP_ATOMIC);

    /// The allocation must not sleep.
    pub const GFP_NOWAIT: Flags = Flags(bindings::LIVEPATCH_GFP_NOWAIT);
}
