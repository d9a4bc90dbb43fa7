// SPDX-License-Identifier: GPL-2.0-only

//! Shadow variables: data that belong to an object of the running kernel and are beside it.
//!
//! Reference: <https://docs.kernel.org/livepatch/shadow-vars.html>

use crate::bindings;
use core::{
    marker::PhantomData,
    mem,
    ptr,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// How memory for a shadow variable may be had.
///
/// The flags that `kernel::alloc` has do not tell their value outside of their crate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// The caller may sleep (`GFP_KERNEL`).
    Sleeping,
    /// It may not (`GFP_ATOMIC`).
    Atomic,
}

impl Allocation {
    const fn flags(self) -> bindings::gfp_t {
        match self {
            Self::Sleeping => bindings::LIVEPATCH_GFP_KERNEL,
            Self::Atomic => bindings::LIVEPATCH_GFP_ATOMIC,
        }
    }
}

/// A kind of shadow variable: a `T` for each object that has one, found by the object's address and
/// an id.
///
/// The variables outlive the module, so that a patch that takes the place of this one goes on with
/// them. For the same reason, nothing frees them but [`free`](Self::free) and
/// [`free_all`](Self::free_all), of this patch or of a later one.
///
/// A `T` is made and dropped with interrupts off and a spinlock of livepatch held: its `Drop` must
/// neither sleep nor use shadow variables.
///
/// # Invariants
///
/// All variables of this id hold a `T`.
pub struct Shadow<T> {
    id: c_ulong,
    _data: PhantomData<T>,
}

impl<T: Send + Sync + 'static> Shadow<T> {
    /// The shadow variables of `id`.
    ///
    /// # Safety
    ///
    /// All that use this id must mean a `T` by it: this patch, its C code, and the patches that
    /// were or will be enabled before or after it without the variables being freed between.
    #[inline]
    pub const unsafe fn new(id: c_ulong) -> Self {
        // `kmalloc()` aligns to that at least, and `struct klp_shadow` keeps it.
        const { assert!(mem::align_of::<T>() <= mem::align_of::<c_ulong>()) };
        // INVARIANT: By the safety requirements.
        Self {
            id,
            _data: PhantomData,
        }
    }

    /// The id.
    #[inline]
    pub const fn id(&self) -> c_ulong {
        self.id
    }

    /// The variable of `object`, if it has one.
    ///
    /// The pointer is valid until the variable is freed; who uses it has to know that it is not.
    #[inline]
    pub fn get<O>(&self, object: *const O) -> Option<NonNull<T>> {
        // SAFETY: Nothing is done with `object` but to compare its address.
        let data = unsafe { bindings::klp_shadow_get(address(object), self.id) };
        NonNull::new(data.cast())
    }

    /// Gives `object` a variable, which must not have one; [`EEXIST`] if it has.
    #[inline]
    pub fn alloc<O>(&self, object: *const O, value: T, how: Allocation) -> Result<NonNull<T>> {
        let mut value = Some(value);
        let data = self.get_or_make(object, &mut value, how)?;
        // Where there was one already, the value is left. `klp_shadow_alloc()` would warn, and tells
        // that apart from a lack of memory only to who asks before, which is a race.
        match value {
            None => Ok(data),
            Some(_) => Err(EEXIST),
        }
    }

    /// The variable of `object`, made of `value` if it has none.
    #[inline]
    pub fn get_or_alloc<O>(
        &self,
        object: *const O,
        value: T,
        how: Allocation,
    ) -> Result<NonNull<T>> {
        self.get_or_make(object, &mut Some(value), how)
    }

    /// The variable of `object`; a new one takes the value out of `value`.
    fn get_or_make<O>(
        &self,
        object: *const O,
        value: &mut Option<T>,
        how: Allocation,
    ) -> Result<NonNull<T>> {
        // SAFETY: `move_in` is called with a new variable of the size of a `T`, aligned as `new`
        // has checked, and with `value`, before this returns, or not at all. The variable holds a
        // `T` then.
        let data = unsafe {
            bindings::klp_shadow_get_or_alloc(
                address(object),
                self.id,
                mem::size_of::<T>(),
                how.flags(),
                Some(move_in::<T>),
                ptr::from_mut(value).cast(),
            )
        };
        NonNull::new(data.cast()).ok_or(ENOMEM)
    }

    /// Drops and frees the variable of `object`, if it has one.
    ///
    /// # Safety
    ///
    /// No pointer to the variable may be used after this by anybody.
    #[inline]
    pub unsafe fn free<O>(&self, object: *const O) {
        // SAFETY: By the invariants, it holds a `T`, and the caller says that no one uses it any more.
        unsafe { bindings::klp_shadow_free(address(object), self.id, drop_fn::<T>()) };
    }

    /// Drops and frees the variables of all objects.
    ///
    /// # Safety
    ///
    /// No pointer to any of the variables may be used after this by anybody.
    #[inline]
    pub unsafe fn free_all(&self) {
        // SAFETY: By the invariants, each holds a `T`, and no one uses any of them any more.
        unsafe { bindings::klp_shadow_free_all(self.id, drop_fn::<T>()) };
    }
}

fn address<O>(object: *const O) -> *mut c_void {
    object.cast_mut().cast()
}

/// # Safety
///
/// `shadow` must have room for a `T`, and `value` must be a valid `Option<T>` that no one else uses.
unsafe extern "C" fn move_in<T>(_: *mut c_void, shadow: *mut c_void, value: *mut c_void) -> c_int {
    // SAFETY: `value` is a valid `Option<T>` that no one else uses.
    match unsafe { (*value.cast::<Option<T>>()).take() } {
        Some(value) => {
            // SAFETY: `shadow` has room for a `T`.
            unsafe { shadow.cast::<T>().write(value) };
            0
        }
        None => EINVAL.to_errno(),
    }
}

/// # Safety
///
/// `shadow` must hold a `T` that no one uses after this.
unsafe extern "C" fn drop_in_place<T>(_: *mut c_void, shadow: *mut c_void) {
    // SAFETY: `shadow` holds a `T` that no one uses after this.
    unsafe { ptr::drop_in_place(shadow.cast::<T>()) };
}

/// What drops a `T`; nothing where there is nothing to drop.
fn drop_fn<T>() -> bindings::klp_shadow_dtor_t {
    if mem::needs_drop::<T>() {
        Some(drop_in_place::<T>)
    } else {
        None
    }
}
