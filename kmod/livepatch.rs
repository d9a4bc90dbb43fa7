// SPDX-License-Identifier: GPL-2.0-only

//! Kernel live patching.
//!
//! A live patch replaces functions of the running kernel with functions of a module. It lists the
//! functions to replace, one [`Func`] each, grouped by the [`Object`] that contains them: vmlinux
//! or a module. [`module_livepatch!`] declares a module that registers such a list.
//!
//! Everything is laid out at compile time, in the form that the C side expects. Nothing is
//! allocated, and nothing moves for as long as the module is loaded.
//!
//! C header: [`include/linux/livepatch.h`](srctree/include/linux/livepatch.h)
//!
//! Reference: <https://docs.kernel.org/livepatch/livepatch.html>
//!
//! [`module_livepatch!`]: crate::module_livepatch

// @part 3
mod callbacks;
// @part 4
mod shadow;
// @part 3
mod state;
// @end

// @part 3
pub use self::callbacks::{
    CallbackObject,
    Callbacks, //
};
// @part 4
pub use self::shadow::Shadow;
// @part 3
pub use self::state::State;
// @end

use crate::bindings;
use core::{
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque,
    ThisModule, //
};

/// An array that ends with a zeroed entry, which is how the C side finds its end.
///
/// [`device_id::IdArray`] ends in the same way, but its entries carry an index into driver data,
/// which arrays of livepatch do not have.
///
/// [`device_id::IdArray`]: srctree/rust/kernel/device_id.rs
#[repr(C)]
pub struct Terminated<T, const N: usize> {
    entries: [T; N],
    end: MaybeUninit<T>,
}

impl<T, const N: usize> Terminated<T, N> {
    /// Creates an array of `entries` and the end marker.
    #[inline]
    pub const fn new(entries: [T; N]) -> Self {
        Self {
            entries,
            end: MaybeUninit::zeroed(),
        }
    }
}

/// A function that replaces another function.
///
/// # Invariants
///
/// The new function can be called in place of the function that it replaces.
///
/// # Examples
///
/// ```
/// use kernel::livepatch::{Func, Object, Terminated};
///
/// extern "C" fn new_show(_m: *mut c_void, _v: *mut c_void) -> c_int {
///     0
/// }
///
/// static FUNCS: Terminated<Func, 1> = Terminated::new([
///     // SAFETY: `cmdline_proc_show()` takes two pointers and returns an `int`, too. Its callers
///     // accept that it writes nothing.
///     unsafe { Func::new(c"cmdline_proc_show", new_show as *const c_void) },
/// ]);
///
/// static OBJECTS: Terminated<Object, 1> = Terminated::new([Object::vmlinux(&FUNCS)]);
/// # let _ = &OBJECTS;
/// ```
#[repr(transparent)]
pub struct Func(Opaque<bindings::klp_func>);

impl Func {
    /// Replaces the function `old_name` with `new_func`, a pointer to a function.
    ///
    /// `old_name` must be unique in its object. Otherwise [`sympos`](Self::sympos) selects one of
    /// the functions of that name.
    ///
    /// # Safety
    ///
    /// - `new_func` must be a function with the arguments, the return type and the calling
    ///   convention of the function `old_name`.
    /// - Callers of that function must be able to rely on `new_func` as they do on the original:
    ///   for the context in which it may be called, the locks it takes, and the data it leaves.
    /// - `new_func` must be part of the module that enables the patch.
    #[inline]
    pub const unsafe fn new(old_name: &'static CStr, new_func: *const c_void) -> Self {
        let mut func: bindings::klp_func = pin_init::zeroed();
        func.old_name = old_name.as_ptr().cast();
        func.new_func = new_func.cast_mut();
        // INVARIANT: The caller promises that `new_func` has the type of `old_name`, and that its
        // callers can rely on it in the same way.
        Self(Opaque::new(func))
    }

    /// Selects one of several functions with the same name in the same object.
    ///
    /// `position` counts them in the order of kallsyms, starting at 1. 0 means that the name is
    /// unique.
    #[inline]
    pub const fn sympos(self, position: c_ulong) -> Self {
        // SAFETY: `self` is owned, so nothing else accesses the value, which `new` has initialized.
        unsafe { (*self.0.get()).old_sympos = position };
        self
    }
}

// SAFETY: No method takes a shared reference to a `Func`.
unsafe impl Sync for Func {}

/// A part of the kernel that contains functions to replace: vmlinux or a module.
///
/// # Invariants
///
/// A zeroed entry follows its last function.
#[repr(transparent)]
pub struct Object(Opaque<bindings::klp_object>);

impl Object {
    /// The kernel image itself.
    #[inline]
    pub const fn vmlinux<const N: usize>(funcs: &'static Terminated<Func, N>) -> Self {
        Self::named(ptr::null(), funcs)
    }

    /// The module `name`, with underscores instead of the hyphens in its file name.
    ///
    /// If the module is not loaded, its functions are replaced when it is.
    #[inline]
    pub const fn module<const N: usize>(
        name: &'static CStr,
        funcs: &'static Terminated<Func, N>,
    ) -> Self {
        Self::named(name.as_ptr().cast(), funcs)
    }

    #[inline]
    const fn named<const N: usize>(
        name: *const c_char,
        funcs: &'static Terminated<Func, N>,
    ) -> Self {
        let mut object: bindings::klp_object = pin_init::zeroed();
        object.name = name;
        object.funcs = ptr::from_ref(funcs).cast_mut().cast();
        // INVARIANT: A `Terminated` ends with a zeroed entry.
        Self(Opaque::new(object))
    }
}

// SAFETY: Code with a shared reference only reads fields that do not change while the patch is
// enabled.
unsafe impl Sync for Object {}

/// A live patch.
///
/// User space disables it through `/sys/kernel/livepatch/<module>/enabled`, and a newer patch that
/// replaces it does, too. The module itself cannot disable it.
///
/// # Invariants
///
/// A zeroed entry follows its last object, and its last state if there are states.
#[repr(transparent)]
pub struct Patch(Opaque<bindings::klp_patch>);

impl Patch {
    /// A live patch of `objects`.
    #[inline]
    pub const fn new<const N: usize>(objects: &'static Terminated<Object, N>) -> Self {
        let mut patch: bindings::klp_patch = pin_init::zeroed();
        patch.objs = ptr::from_ref(objects).cast_mut().cast();
        // INVARIANT: A `Terminated` ends with a zeroed entry.
        Self(Opaque::new(patch))
    }

    /// Chooses whether the patch replaces all enabled live patches (atomic replace).
    // @out-of-tree
    #[cfg(not(kmend_replace_set))]
    // @end
    #[inline]
    pub const fn replace(self, replace: bool) -> Self {
        // SAFETY: `self` is owned, so nothing else accesses the value, which `new` has initialized.
        unsafe { (*self.0.get()).replace = replace };
        self
    }

    // @out-of-tree
    /// Puts the patch into the set `replace_set`: it replaces the enabled live patches of that set.
    #[cfg(kmend_replace_set)]
    #[inline]
    pub const fn replace_set(self, replace_set: c_uint) -> Self {
        // SAFETY: `self` is owned, so nothing else accesses the value, which `new` has initialized.
        unsafe { (*self.0.get()).replace_set = replace_set };
        self
    }
    // @end

    // @part 3
    /// Declares the states that the patch changes.
    #[inline]
    pub const fn states<const N: usize>(self, states: &'static Terminated<State, N>) -> Self {
        // SAFETY: `self` is owned, so nothing else accesses the value, which `new` has initialized.
        unsafe { (*self.0.get()).states = ptr::from_ref(states).cast_mut().cast() };
        // INVARIANT: A zeroed state has the id 0, which ends the list.
        self
    }
    // @end

    /// Enables the patch.
    ///
    /// When this returns, the transition has started, but tasks may still be running the old
    /// functions.
    ///
    /// # Safety
    ///
    /// - The init function of `module`, which contains the patch, its objects and its functions,
    ///   must call this exactly once.
    /// - If this succeeds, that function must not fail: the module would be unloaded while the
    ///   patch is in use.
    #[inline]
    pub unsafe fn enable(&'static self, module: &'static ThisModule) -> Result {
        let patch = self.0.get();
        // SAFETY: The caller calls this only once, so livepatch does not know the patch yet, and
        // nothing else accesses it.
        unsafe { (*patch).mod_ = module.as_ptr() };
        // SAFETY: By the type invariants, the arrays are terminated. They are in the module's own
        // data, and livepatch holds a reference to the module for as long as it uses the patch. If
        // enabling fails, livepatch has dropped the patch before this returns.
        to_result(unsafe { bindings::klp_enable_patch(patch) })
    }
}

// SAFETY: `enable` is the only method that takes a shared reference, and it is called only once.
unsafe impl Sync for Patch {}

/// Declares a module that is a live patch.
///
/// `patch` is the [`Patch`]. All other keys are those of [`module!`].
///
/// Loading the module enables the patch. The module can be removed after the patch was disabled.
///
/// # Examples
///
/// [`samples/rust/rust_livepatch.rs`](srctree/samples/rust/rust_livepatch.rs) is a complete module.
///
/// ```ignore
/// module_livepatch! {
///     patch: Patch::new(&OBJECTS),
///     name: "rust_livepatch",
///     license: "GPL",
/// }
/// ```
///
/// [`Patch`]: crate::livepatch::Patch
/// [`module!`]: kernel::prelude::module
#[macro_export]
macro_rules! module_livepatch {
    (patch: $patch:expr, $($f:tt)*) => {
        static LIVEPATCH: $crate::livepatch::Patch = $patch;

        /// The module. It is public because implementations of vtable traits name their module, and
        /// may be public themselves.
        pub struct LivepatchModule;

        impl ::kernel::Module for LivepatchModule {
            #[inline]
            fn init(module: &'static ::kernel::ThisModule) -> ::kernel::error::Result<Self> {
                // SAFETY: This is the init function of `module`, which contains the whole patch. It
                // runs once, and nothing that could fail follows.
                unsafe { LIVEPATCH.enable(module) }.map(|()| Self)
            }
        }

        // @out-of-tree
        // The module loader and `klp_enable_patch()` want this mark, and `module!` has no key for
        // it. Plain `#[used]` would give the section other flags than those of `module!`'s own
        // entries, and the loader accepts only one `.modinfo` section. objtool looks for the mark
        // after a NUL; readers skip empty strings.
        #[cfg(MODULE)]
        #[link_section = ".modinfo"]
        #[used(compiler)]
        static __LIVEPATCH: [u8; 13] = *b"\0livepatch=Y\0";
        // @end

        ::kernel::prelude::module! {
            type: LivepatchModule,
            $($f)*
            // @in-tree livepatch: true,
        }
    };
}

// @out-of-tree
/// Declares what a hooks file registers: the types whose [`Callbacks`] are called, by object, and
/// the states of the live patch, each with its version.
///
/// kmend-build reads and registers them. In the module, this macro only checks types.
///
/// # Examples
///
/// ```ignore
/// livepatch_hooks! {
///     callbacks: {
///         vmlinux: Limit,
///         zram: Devices,
///     },
///     states: {
///         LIMIT: 2,
///     },
/// }
/// ```
///
/// [`Callbacks`]: crate::livepatch::Callbacks
#[macro_export]
macro_rules! livepatch_hooks {
    (
        $(callbacks: { $($object:ident: $type:ident),* $(,)? } $(,)?)?
        $(states: { $($id:tt: $version:tt),* $(,)? } $(,)?)?
    ) => {
        const _: () = {
            const fn provides<T: $crate::livepatch::Callbacks>() {}
            $($(provides::<$type>();)*)?
            $($(let _ = $crate::livepatch::State::new::<{ $id }>($version);)*)?
        };
    };
}
// @end
