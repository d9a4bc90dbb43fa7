// SPDX-License-Identifier: GPL-2.0-only

//! Shadow variables: data that is attached to an existing kernel object.
//!
//! Reference: <https://docs.kernel.org/livepatch/shadow-vars.html>

use crate::bindings;
use core::{
    marker::PhantomData,
    mem,
    ptr,
    ptr::NonNull, //
};
use kernel::{
    alloc::Flags,
    prelude::*, //
};

/// A kind of shadow variable: a `T` for each object that has one, found by the address of the
/// object and an id.
///
/// The variables outlive the module, so that a patch that replaces this one can go on using them.
/// For the same reason only [`free`](Self::free) and [`free_all`](Self::free_all) free them, called
/// by this patch or by a later one.
///
/// A `T` is moved in and dropped with interrupts off and a spinlock of livepatch held: its `Drop`
/// must neither sleep nor use shadow variables.
///
/// # Invariants
///
/// All variables with this id hold a `T`.
///
/// # Examples
///
/// ```
/// use kernel::livepatch::Shadow;
///
/// // SAFETY: Nothing else uses this id.
/// static READS: Shadow<u32> = unsafe { Shadow::new(0x7265_6164) };
///
/// let object = 0u8;
/// let first = READS.get_or_alloc(&object, 1, GFP_KERNEL)?;
/// assert!(READS.get(&object) == Some(first));
/// assert!(READS.get_or_alloc(&object, 2, GFP_KERNEL)? == first);
/// assert!(READS.alloc(&object, 2, GFP_KERNEL) == Err(EEXIST));
///
/// // SAFETY: `first` is not used after this.
/// unsafe { READS.free(&object) };
/// assert!(READS.get(&object).is_none());
/// # Ok::<(), Error>(())
/// ```
pub struct Shadow<T> {
    id: c_ulong,
    _data: PhantomData<T>,
}

impl<T: Send + Sync + 'static> Shadow<T> {
    /// The shadow variables with this id.
    ///
    /// # Safety
    ///
    /// Everything that uses this id must store a `T` under it: this patch, its C code, and all
    /// patches before or after it, unless the variables are freed in between.
    #[inline]
    pub const unsafe fn new(id: c_ulong) -> Self {
        // `kmalloc()` aligns to at least that, and `struct klp_shadow` keeps the alignment.
        const { assert!(mem::align_of::<T>() <= mem::align_of::<c_ulong>()) };
        // INVARIANT: The caller promises that everything that uses `id` stores a `T` under it.
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
    /// The pointer is valid until the variable is freed. The caller must know that it has not been
    /// freed before it dereferences the pointer.
    #[inline]
    pub fn get<O>(&self, object: *const O) -> Option<NonNull<T>> {
        // SAFETY: `klp_shadow_get()` only compares the address of `object`.
        let data = unsafe { bindings::klp_shadow_get(address(object), self.id) };
        NonNull::new(data.cast())
    }

    /// Attaches a variable to `object`. Returns [`EEXIST`] if `object` has one.
    #[inline]
    pub fn alloc<O>(&self, object: *const O, value: T, flags: Flags) -> Result<NonNull<T>> {
        let mut value = Some(value);
        let data = self.get_or_make(object, &mut value, flags)?;
        // `klp_shadow_alloc()` warns if there is a variable, and returns NULL in that case and when
        // out of memory. `klp_shadow_get_or_alloc()` decides under its lock, and leaves `value` in
        // place if there is a variable.
        match value {
            None => Ok(data),
            Some(_) => Err(EEXIST),
        }
    }

    /// The variable of `object`, which is created from `value` if `object` has none.
    #[inline]
    pub fn get_or_alloc<O>(&self, object: *const O, value: T, flags: Flags) -> Result<NonNull<T>> {
        self.get_or_make(object, &mut Some(value), flags)
    }

    /// The variable of `object`. A new variable takes the value out of `value`.
    fn get_or_make<O>(
        &self,
        object: *const O,
        value: &mut Option<T>,
        flags: Flags,
    ) -> Result<NonNull<T>> {
        // @out-of-tree
        let flags = raw(flags)?;
        // @end
        // @in-tree let flags = flags.as_raw();
        // SAFETY: `klp_shadow_get_or_alloc()` calls `move_in` at most once, before it returns, with
        // the address of `value` and with room for a `T`, whose alignment `new` has checked. The
        // variable holds a `T` after that.
        let data = unsafe {
            bindings::klp_shadow_get_or_alloc(
                address(object),
                self.id,
                mem::size_of::<T>(),
                flags,
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
    /// Nothing may use a pointer to the variable any more.
    #[inline]
    pub unsafe fn free<O>(&self, object: *const O) {
        // SAFETY: By the type invariants, the variable holds a `T`, and the caller promises that
        // nothing uses it any more.
        unsafe { bindings::klp_shadow_free(address(object), self.id, drop_fn::<T>()) };
    }

    /// Drops and frees the variables of all objects.
    ///
    /// # Safety
    ///
    /// Nothing may use a pointer to any of the variables any more.
    #[inline]
    pub unsafe fn free_all(&self) {
        // SAFETY: By the type invariants, each variable holds a `T`, and the caller promises that
        // nothing uses any of them any more.
        unsafe { bindings::klp_shadow_free_all(self.id, drop_fn::<T>()) };
    }
}

#[inline]
fn address<O>(object: *const O) -> *mut c_void {
    object.cast_mut().cast()
}

// @out-of-tree
/// The value of `flags` for the C side, which they tell only inside of the kernel crate.
///
/// Knows [`GFP_KERNEL`], [`GFP_ATOMIC`] and [`GFP_NOWAIT`]; returns [`EINVAL`] for all others.
#[inline]
fn raw(flags: Flags) -> Result<bindings::gfp_t> {
    if flags == GFP_KERNEL {
        Ok(bindings::LIVEPATCH_GFP_KERNEL)
    } else if flags == GFP_ATOMIC {
        Ok(bindings::LIVEPATCH_GFP_ATOMIC)
    } else if flags == GFP_NOWAIT {
        Ok(bindings::LIVEPATCH_GFP_NOWAIT)
    } else {
        Err(EINVAL)
    }
}
// @end

/// # Safety
///
/// `shadow` must have room for a `T`, and `value` must point to a valid `Option<T>` that nothing
/// else accesses.
unsafe extern "C" fn move_in<T>(_: *mut c_void, shadow: *mut c_void, value: *mut c_void) -> c_int {
    // SAFETY: `value` points to a valid `Option<T>` that nothing else accesses.
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
/// `shadow` must hold a `T` that nothing uses after this.
unsafe extern "C" fn drop_in_place<T>(_: *mut c_void, shadow: *mut c_void) {
    // SAFETY: `shadow` holds a `T` that nothing uses after this.
    unsafe { ptr::drop_in_place(shadow.cast::<T>()) };
}

/// The function that drops a `T`, or [`None`] if dropping does nothing.
#[inline]
fn drop_fn<T>() -> bindings::klp_shadow_dtor_t {
    if mem::needs_drop::<T>() {
        Some(drop_in_place::<T>)
    } else {
        None
    }
}
