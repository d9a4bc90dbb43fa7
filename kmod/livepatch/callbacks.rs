// SPDX-License-Identifier: GPL-2.0-only

//! Callbacks: what runs when an object is patched and unpatched.
//!
//! Reference: <https://docs.kernel.org/livepatch/callbacks.html>

use super::{
    Object,
    State, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem, //
};
use kernel::prelude::*;

/// An [`Object`] while one of its callbacks runs.
///
/// # Invariants
///
/// The object belongs to an enabled patch, and the kernel holds the mutex of livepatch until the
/// callback returns, which is not before `'call` ends.
pub struct CallbackObject<'call> {
    object: &'call Object,
    // What a callback learns is true until it returns, and in its own task.
    _not_send: PhantomData<*mut ()>,
}

/// What runs when an [`Object`] is patched and unpatched, in the order of the functions below.
///
/// All of them run in process context, may sleep, and are never called at the same time. What
/// belongs to a module runs only while that module is loaded, or comes and goes: it can be called
/// several times.
///
/// A patch that takes the place of another (atomic replace) runs its own callbacks alone; those
/// of the patch that it replaces are not called.
///
/// # Examples
///
/// ```ignore
/// struct Limit;
///
/// impl Callbacks for Limit {
///     fn pre_patch(_object: &CallbackObject<'_>) -> Result {
///         Err(EBUSY)
///     }
/// }
///
/// static OBJECTS: Terminated<Object, 1> =
///     Terminated::new([Object::vmlinux(&FUNCS).pre_patch::<Limit>()]);
/// ```
pub trait Callbacks {
    /// Called before the object's functions are replaced.
    ///
    /// An error refuses that: loading the patch, or else the module that the object stands for,
    /// fails with it, and no other callback of the object is called.
    fn pre_patch(object: &CallbackObject<'_>) -> Result {
        let _ = object;
        Ok(())
    }

    /// Called once all tasks run the new functions.
    fn post_patch(object: &CallbackObject<'_>) {
        let _ = object;
    }

    /// Called before the old functions are put back.
    ///
    /// Not called where the patch is taken back before all tasks ran the new functions.
    fn pre_unpatch(object: &CallbackObject<'_>) {
        let _ = object;
    }

    /// Called once all tasks run the old functions again.
    ///
    /// Whatever [`pre_patch`](Self::pre_patch) did has to be undone here.
    fn post_unpatch(object: &CallbackObject<'_>) {
        let _ = object;
    }
}

/// A callback that cannot fail, as the C side calls it.
type Notify = unsafe extern "C" fn(*mut bindings::klp_object);

/// A callback that can fail, as the C side calls it.
type Ask = unsafe extern "C" fn(*mut bindings::klp_object) -> c_int;

/// # Safety
///
/// To be called by livepatch alone, with an object of an enabled patch and its mutex held: as a
/// callback of that object.
unsafe extern "C" fn pre_patch<T: Callbacks>(object: *mut bindings::klp_object) -> c_int {
    // SAFETY: This is a callback of `object`, and the reference ends with it.
    match T::pre_patch(&unsafe { CallbackObject::from_raw(object) }) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// As for `pre_patch`.
unsafe extern "C" fn post_patch<T: Callbacks>(object: *mut bindings::klp_object) {
    // SAFETY: As in `pre_patch`.
    T::post_patch(&unsafe { CallbackObject::from_raw(object) })
}

/// # Safety
///
/// As for `pre_patch`.
unsafe extern "C" fn pre_unpatch<T: Callbacks>(object: *mut bindings::klp_object) {
    // SAFETY: As in `pre_patch`.
    T::pre_unpatch(&unsafe { CallbackObject::from_raw(object) })
}

/// # Safety
///
/// As for `pre_patch`.
unsafe extern "C" fn post_unpatch<T: Callbacks>(object: *mut bindings::klp_object) {
    // SAFETY: As in `pre_patch`.
    T::post_unpatch(&unsafe { CallbackObject::from_raw(object) })
}

/// Registering callbacks, one of each kind at most.
impl Object {
    /// Has [`Callbacks::pre_patch`] of `T` called.
    #[inline]
    pub const fn pre_patch<T: Callbacks>(self) -> Self {
        // SAFETY: Livepatch calls it with this object once its patch is enabled, and holds its mutex.
        unsafe { self.c_pre_patch(pre_patch::<T>) }
    }

    /// Has [`Callbacks::post_patch`] of `T` called.
    #[inline]
    pub const fn post_patch<T: Callbacks>(self) -> Self {
        // SAFETY: As in `pre_patch`.
        unsafe { self.c_post_patch(post_patch::<T>) }
    }

    /// Has [`Callbacks::pre_unpatch`] of `T` called.
    #[inline]
    pub const fn pre_unpatch<T: Callbacks>(self) -> Self {
        // SAFETY: As in `pre_patch`.
        unsafe { self.c_pre_unpatch(pre_unpatch::<T>) }
    }

    /// Has [`Callbacks::post_unpatch`] of `T` called.
    #[inline]
    pub const fn post_unpatch<T: Callbacks>(self) -> Self {
        // SAFETY: As in `pre_patch`.
        unsafe { self.c_post_unpatch(post_unpatch::<T>) }
    }

    /// Has a C function called as the pre-patch callback.
    ///
    /// # Safety
    ///
    /// The C side must be able to call `callback` with an object of an enabled patch, and it must
    /// return 0 or a negative error number.
    #[inline]
    pub const unsafe fn c_pre_patch(self, callback: Ask) -> Self {
        // SAFETY: The value is this object's own, and initialized when it was made.
        unsafe { (*self.0.get()).callbacks.pre_patch = Some(callback) };
        self
    }

    /// Has a C function called as the post-patch callback.
    ///
    /// # Safety
    ///
    /// The C side must be able to call `callback` with an object of an enabled patch.
    #[inline]
    pub const unsafe fn c_post_patch(self, callback: Notify) -> Self {
        // SAFETY: As in `c_pre_patch`.
        unsafe { (*self.0.get()).callbacks.post_patch = Some(callback) };
        self
    }

    /// Has a C function called as the pre-unpatch callback.
    ///
    /// # Safety
    ///
    /// As for [`c_post_patch`](Self::c_post_patch).
    #[inline]
    pub const unsafe fn c_pre_unpatch(self, callback: Notify) -> Self {
        // SAFETY: As in `c_pre_patch`.
        unsafe { (*self.0.get()).callbacks.pre_unpatch = Some(callback) };
        self
    }

    /// Has a C function called as the post-unpatch callback.
    ///
    /// # Safety
    ///
    /// As for [`c_post_patch`](Self::c_post_patch).
    #[inline]
    pub const unsafe fn c_post_unpatch(self, callback: Notify) -> Self {
        // SAFETY: As in `c_pre_patch`.
        unsafe { (*self.0.get()).callbacks.post_unpatch = Some(callback) };
        self
    }
}

impl<'call> CallbackObject<'call> {
    /// The object that a callback is given.
    ///
    /// # Safety
    ///
    /// Livepatch must be calling a callback of `object`, which must not return before `'call` ends.
    unsafe fn from_raw(object: *mut bindings::klp_object) -> Self {
        // INVARIANT: Livepatch calls the callbacks of enabled patches alone, with its mutex held.
        Self {
            // SAFETY: `Object` is transparent, and livepatch keeps the object for that time.
            object: unsafe { &*object.cast() },
            _not_send: PhantomData,
        }
    }

    /// Whether it is the kernel image itself, and no module.
    #[inline]
    pub fn is_vmlinux(&self) -> bool {
        // SAFETY: The C side does not change the name.
        unsafe { (*self.object.0.get()).name.is_null() }
    }

    /// The module's name; [`None`] for vmlinux.
    #[inline]
    pub fn name(&self) -> Option<&CStr> {
        if self.is_vmlinux() {
            return None;
        }
        // SAFETY: The C side does not change the name, a C string that lives as long as the object.
        Some(unsafe { CStr::from_ptr((*self.object.0.get()).name.cast()) })
    }

    /// The state `id` as the object's own patch declares it, if it does.
    #[inline]
    pub fn state(&self, id: c_ulong) -> Option<&State> {
        // SAFETY: By the invariants, the patch is enabled: `klp_init_object()` has made the `kobj`
        // of the patch the parent of the object's, and no one changes it after that.
        let parent = unsafe { (*self.object.0.get()).kobj.parent };
        let patch = parent
            .wrapping_byte_sub(mem::offset_of!(bindings::klp_patch, kobj))
            .cast::<bindings::klp_patch>();
        // SAFETY: `patch` is the object's patch, of which `parent` is the member `kobj`.
        let state = unsafe { bindings::klp_get_state(patch, id) };
        // SAFETY: The states of a patch live as long as its objects do.
        unsafe { State::from_raw(state) }
    }

    /// The state `id` of the patches that were enabled before this one: of the newest that has it.
    ///
    /// [`None`] says that no such patch is in force: in `pre_patch` that the state has to be set
    /// up, in `post_unpatch` that it has to be taken down.
    ///
    /// [`EINVAL`] for the callbacks of a module: they are called outside of a transition, too, when
    /// the kernel cannot tell.
    #[inline]
    pub fn previous_state(&self, id: c_ulong) -> Result<Option<&State>> {
        if !self.is_vmlinux() {
            return Err(EINVAL);
        }
        // SAFETY: By the invariants, a callback runs with the mutex of livepatch held, and those of
        // vmlinux run during a transition alone, for which `klp_get_prev_state()` asks.
        let state = unsafe { bindings::klp_get_prev_state(id) };
        // SAFETY: No patch is freed while the mutex is held, and the reference ends before that.
        Ok(unsafe { State::from_raw(state) })
    }
}
