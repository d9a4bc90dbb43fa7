// SPDX-License-Identifier: GPL-2.0-only

//! Callbacks, which run when an object is patched and unpatched.
//!
//! Reference: <https://docs.kernel.org/livepatch/callbacks.html>

use super::{
    Object,
    State, //
};
use crate::bindings;
use kernel::{
    container_of,
    prelude::*,
    types::NotThreadSafe, //
};

/// An [`Object`] while one of its callbacks runs.
///
/// # Invariants
///
/// The object belongs to an enabled patch, and livepatch holds its mutex until the callback
/// returns, which is not before `'call` ends.
pub struct CallbackObject<'call> {
    object: &'call Object,
    // The mutex belongs to the task that runs the callback.
    _not_send: NotThreadSafe,
}

/// Callbacks of an [`Object`], in the order in which they are called.
///
/// They run in process context, may sleep, and never run at the same time. Callbacks for a module
/// run only while that module is loaded, being loaded or being removed, and so more than once if it
/// is loaded more than once.
///
/// A patch that replaces another (atomic replace) runs only its own callbacks. The callbacks of the
/// replaced patch are not called.
///
/// # Examples
///
/// ```
/// use kernel::livepatch::{CallbackObject, Callbacks, Func, Object, Terminated};
///
/// struct Refuse;
///
/// #[vtable]
/// impl Callbacks for Refuse {
///     fn pre_patch(_object: &CallbackObject<'_>) -> Result {
///         Err(EBUSY)
///     }
/// }
///
/// static FUNCS: Terminated<Func, 0> = Terminated::new([]);
/// static OBJECTS: Terminated<Object, 1> =
///     Terminated::new([Object::vmlinux(&FUNCS).callbacks::<Refuse>()]);
/// # let _ = &OBJECTS;
/// ```
#[vtable]
pub trait Callbacks {
    /// Called before the functions of the object are replaced.
    ///
    /// If it returns an error, loading the patch fails, or loading the module that the object
    /// names, and no other callback of the object is called.
    fn pre_patch(_object: &CallbackObject<'_>) -> Result {
        Ok(())
    }

    /// Called when all tasks run the new functions.
    fn post_patch(_object: &CallbackObject<'_>) {}

    /// Called before the old functions are restored.
    ///
    /// Not called if the patch is reverted before all tasks run the new functions.
    fn pre_unpatch(_object: &CallbackObject<'_>) {}

    /// Called when all tasks run the old functions again.
    ///
    /// It must undo what [`pre_patch`](Self::pre_patch) did.
    fn post_unpatch(_object: &CallbackObject<'_>) {}
}

/// # Safety
///
/// Only livepatch may call this, as a callback of `object`, which belongs to an enabled patch, and
/// with its mutex held.
unsafe extern "C" fn pre_patch<T: Callbacks>(object: *mut bindings::klp_object) -> c_int {
    // SAFETY: Livepatch is calling a callback of `object`, and the reference does not outlive it.
    match T::pre_patch(&unsafe { CallbackObject::from_raw(object) }) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// As for [`pre_patch`].
unsafe extern "C" fn post_patch<T: Callbacks>(object: *mut bindings::klp_object) {
    // SAFETY: Livepatch is calling a callback of `object`, and the reference does not outlive it.
    T::post_patch(&unsafe { CallbackObject::from_raw(object) })
}

/// # Safety
///
/// As for [`pre_patch`].
unsafe extern "C" fn pre_unpatch<T: Callbacks>(object: *mut bindings::klp_object) {
    // SAFETY: Livepatch is calling a callback of `object`, and the reference does not outlive it.
    T::pre_unpatch(&unsafe { CallbackObject::from_raw(object) })
}

/// # Safety
///
/// As for [`pre_patch`].
unsafe extern "C" fn post_unpatch<T: Callbacks>(object: *mut bindings::klp_object) {
    // SAFETY: Livepatch is calling a callback of `object`, and the reference does not outlive it.
    T::post_unpatch(&unsafe { CallbackObject::from_raw(object) })
}

impl Object {
    /// Registers the callbacks that `T` implements.
    #[inline]
    pub const fn callbacks<T: Callbacks>(self) -> Self {
        // SAFETY: `self` is owned, so nothing else accesses the value, and it was initialized when
        // the object was created.
        let callbacks = unsafe { &mut (*self.0.get()).callbacks };
        if T::HAS_PRE_PATCH {
            callbacks.pre_patch = Some(pre_patch::<T>);
        }
        if T::HAS_POST_PATCH {
            callbacks.post_patch = Some(post_patch::<T>);
        }
        if T::HAS_PRE_UNPATCH {
            callbacks.pre_unpatch = Some(pre_unpatch::<T>);
        }
        if T::HAS_POST_UNPATCH {
            callbacks.post_unpatch = Some(post_unpatch::<T>);
        }
        self
    }

    // @out-of-tree
    /// Registers the C functions in `from`, beside the callbacks that the object has.
    ///
    /// # Safety
    ///
    /// Livepatch must be able to call each of them with an object of an enabled patch, and
    /// `pre_patch` must return 0 or a negative error number.
    #[inline]
    pub const unsafe fn c_callbacks(self, from: bindings::klp_callbacks) -> Self {
        // SAFETY: `self` is owned, so nothing else accesses the value, and it was initialized when
        // the object was created.
        let callbacks = unsafe { &mut (*self.0.get()).callbacks };
        if from.pre_patch.is_some() {
            callbacks.pre_patch = from.pre_patch;
        }
        if from.post_patch.is_some() {
            callbacks.post_patch = from.post_patch;
        }
        if from.pre_unpatch.is_some() {
            callbacks.pre_unpatch = from.pre_unpatch;
        }
        if from.post_unpatch.is_some() {
            callbacks.post_unpatch = from.post_unpatch;
        }
        self
    }
    // @end
}

impl<'call> CallbackObject<'call> {
    /// The object whose callback runs.
    ///
    /// # Safety
    ///
    /// Livepatch must be calling a callback of `object`, which must not return before `'call` ends.
    #[inline]
    unsafe fn from_raw(object: *mut bindings::klp_object) -> Self {
        // INVARIANT: Livepatch calls callbacks only of enabled patches, and with its mutex held.
        Self {
            // SAFETY: `Object` is a transparent wrapper of `klp_object`, and livepatch keeps the
            // object at least until the callback returns.
            object: unsafe { &*object.cast() },
            _not_send: NotThreadSafe,
        }
    }

    /// Whether the object is the kernel image itself, not a module.
    #[inline]
    pub fn is_vmlinux(&self) -> bool {
        // SAFETY: The name is initialized, and the C side does not change it.
        unsafe { (*self.object.0.get()).name.is_null() }
    }

    /// The name of the module; [`None`] for vmlinux.
    #[inline]
    pub fn name(&self) -> Option<&CStr> {
        if self.is_vmlinux() {
            return None;
        }
        // SAFETY: The name of a module is a C string that lives as long as the object, and the C
        // side does not change it.
        Some(unsafe { CStr::from_ptr((*self.object.0.get()).name.cast()) })
    }

    /// The state `id` of the patch that the object belongs to, if the patch declares it.
    #[inline]
    pub fn state(&self, id: c_ulong) -> Option<&State> {
        // SAFETY: By the type invariants, the patch is enabled. `klp_init_object()` has made the
        // `kobj` of the patch the parent of the object's `kobj`, and nothing changes that.
        let parent = unsafe { (*self.object.0.get()).kobj.parent };
        // SAFETY: `parent` is the field `kobj` of the patch that the object belongs to.
        let patch = unsafe { container_of!(parent, bindings::klp_patch, kobj) };
        // SAFETY: `patch` is a valid patch.
        let state = unsafe { bindings::klp_get_state(patch, id) };
        // SAFETY: The states of a patch live as long as its objects.
        unsafe { State::from_raw(state) }
    }

    /// The state `id` of the patches that were enabled before this one. If several have it, that of
    /// the newest.
    ///
    /// [`None`] means that no such patch is active: `pre_patch` has to set the state up, and
    /// `post_unpatch` has to take it down.
    ///
    /// Returns [`EINVAL`] in callbacks for a module. They also run outside of transitions, when the
    /// kernel cannot answer.
    #[inline]
    pub fn previous_state(&self, id: c_ulong) -> Result<Option<&State>> {
        if !self.is_vmlinux() {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariants, livepatch holds its mutex. Callbacks for vmlinux only run
        // during a transition, which `klp_get_prev_state()` requires.
        let state = unsafe { bindings::klp_get_prev_state(id) };
        // SAFETY: Livepatch frees no patch while its mutex is held, and the returned reference does
        // not outlive the callback.
        Ok(unsafe { State::from_raw(state) })
    }
}
