// SPDX-License-Identifier: GPL-2.0-only

//! Kernel live patching.
//!
//! A live patch replaces functions of the running kernel with functions of a module. It names the
//! functions to be replaced, one [`Func`] each, grouped by the [`Object`] that holds them: vmlinux
//! or a module. [`module_livepatch!`] makes a module of such a list.
//!
//! All of it is laid out at compile time, as the C side wants it: there is nothing to allocate, and
//! it stays in place for as long as the module does.
//!
//! C header: [`include/linux/livepatch.h`](srctree/include/linux/livepatch.h)
//!
//! Reference: <https://docs.kernel.org/livepatch/livepatch.html>
//!
//! [`module_livepatch!`]: crate::module_livepatch

mod callbacks;
mod shadow;
mod state;

pub use self::{
    callbacks::{
        CallbackObject,
        Callbacks, //
    },
    shadow::{
        Allocation,
        Shadow, //
    },
    state::State, //
};

use crate::bindings;
use core::{
    mem,
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque,
    ThisModule, //
};

/// An array with a zeroed entry behind it, which tells the C side where it ends.
#[repr(C)]
pub struct Terminated<T, const N: usize> {
    entries: [T; N],
    end: MaybeUninit<T>,
}

impl<T, const N: usize> Terminated<T, N> {
    /// Puts the end behind `entries`.
    #[inline]
    pub const fn new(entries: [T; N]) -> Self {
        Self {
            entries,
            end: MaybeUninit::zeroed(),
        }
    }
}

/// A function that takes the place of another.
///
/// # Invariants
///
/// The new function can be called wherever the one that it replaces is called, in the way in which
/// it is called there.
#[repr(transparent)]
pub struct Func(Opaque<bindings::klp_func>);

impl Func {
    /// Names the function `old_name` and its replacement.
    ///
    /// `old_name` has to be unique in its object, or else its position must be given with
    /// [`sympos`](Self::sympos). `new_func` is written as a function without arguments because its
    /// real type is of no concern here.
    ///
    /// # Safety
    ///
    /// - `new_func` must have the arguments, the return value and the calling convention of the
    ///   function that is found under `old_name`.
    /// - Callers of that function must be able to rely on `new_func` as they do on the original:
    ///   for the context in which it may be called, the locks it takes, and the data it leaves.
    /// - `new_func` must be part of the module that enables the patch.
    #[inline]
    pub const unsafe fn new(old_name: &'static CStr, new_func: unsafe extern "C" fn()) -> Self {
        // SAFETY: `klp_func` is made of pointers, integers, flags and list heads; zeroes are what
        // the C side expects in all that is not set.
        let mut func: bindings::klp_func = unsafe { mem::zeroed() };
        func.old_name = old_name.as_ptr().cast();
        func.new_func = new_func as *mut c_void;
        // INVARIANT: By the safety requirements, `new_func` can stand in for `old_name`.
        Self(Opaque::new(func))
    }

    /// Tells the function from others of the same name in the same object.
    ///
    /// `position` counts them in the order of kallsyms, from 1; 0 says that the name is unique.
    #[inline]
    pub const fn sympos(self, position: c_ulong) -> Self {
        // SAFETY: `self` is owned, so no one else has the value, which `new` has initialized.
        unsafe { (*self.0.get()).old_sympos = position };
        self
    }
}

// SAFETY: No method takes a shared reference to a `Func`.
unsafe impl Sync for Func {}

/// A part of the kernel with functions to be replaced: vmlinux or a module.
///
/// # Invariants
///
/// Its functions are followed by a zeroed entry.
#[repr(transparent)]
pub struct Object(Opaque<bindings::klp_object>);

impl Object {
    /// The kernel image itself.
    #[inline]
    pub const fn vmlinux<const N: usize>(funcs: &'static Terminated<Func, N>) -> Self {
        Self::named(ptr::null(), funcs)
    }

    /// The module `name`, with underscores where its file name has hyphens.
    ///
    /// It need not be loaded: its functions are replaced when it comes.
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
        // SAFETY: As for `klp_func` in `Func::new`.
        let mut object: bindings::klp_object = unsafe { mem::zeroed() };
        object.name = name;
        object.funcs = ptr::from_ref(funcs).cast_mut().cast();
        // INVARIANT: A `Terminated` has a zeroed entry behind its last one.
        Self(Opaque::new(object))
    }
}

// SAFETY: No method takes a shared reference to an `Object`. A `CallbackObject` reads of it what
// no one changes once its patch is enabled.
unsafe impl Sync for Object {}

/// A live patch.
///
/// It is disabled from user space, through `/sys/kernel/livepatch/<module>/enabled`, or by a newer
/// patch that replaces it; there is no way to do so from here.
///
/// # Invariants
///
/// Its objects, and its states if there are any, are followed by a zeroed entry.
#[repr(transparent)]
pub struct Patch(Opaque<bindings::klp_patch>);

impl Patch {
    /// A live patch of `objects`.
    ///
    /// With `replace`, it takes the place of all live patches that are enabled when it is.
    #[inline]
    pub const fn new<const N: usize>(
        objects: &'static Terminated<Object, N>,
        replace: bool,
    ) -> Self {
        // SAFETY: As for `klp_func` in `Func::new`.
        let mut patch: bindings::klp_patch = unsafe { mem::zeroed() };
        patch.objs = ptr::from_ref(objects).cast_mut().cast();
        patch.replace = replace;
        // INVARIANT: A `Terminated` has a zeroed entry behind its last one.
        Self(Opaque::new(patch))
    }

    /// Declares the states that the patch changes.
    #[inline]
    pub const fn states<const N: usize>(self, states: &'static Terminated<State, N>) -> Self {
        // SAFETY: `self` is owned, so no one else has the value, which `new` has initialized.
        unsafe { (*self.0.get()).states = ptr::from_ref(states).cast_mut().cast() };
        // INVARIANT: A zeroed state has the id 0, which ends the list.
        self
    }

    /// Enables the patch.
    ///
    /// When this returns, the transition has begun, but tasks may still be running in the old
    /// functions.
    ///
    /// # Safety
    ///
    /// - The init function of `module`, which holds the patch, its objects and its functions, must
    ///   call this, and once.
    /// - Nothing that comes after it may make that function fail: the module would be unloaded
    ///   while the patch is in use.
    #[inline]
    pub unsafe fn enable(&'static self, module: &'static ThisModule) -> Result {
        let patch = self.0.get();
        // SAFETY: The caller calls this once, so that livepatch does not have the patch yet; before
        // that, there is no other access to it than this.
        unsafe { (*patch).mod_ = module.as_ptr() };
        // SAFETY: By the invariants, the arrays are terminated. All of it stays in place while the
        // module does, and the C side holds a reference to the module until it is done with the
        // patch. If enabling fails, it has let go of it before it returns.
        to_result(unsafe { bindings::klp_enable_patch(patch) })
    }
}

// SAFETY: `enable` is the only thing to do with a shared reference, and is called once.
unsafe impl Sync for Patch {}

/// Declares a module that is a live patch.
///
/// `objects` is a static array of [`Object`]s, `states`, which may be missing, one of [`State`]s.
/// `replace` says whether this patch takes the place of all older ones. What follows goes to
/// [`module!`].
///
/// Loading the module enables the patch; the module can be removed once the patch was disabled.
///
/// # Examples
///
/// ```ignore
/// static FUNCS: Terminated<Func, 1> = Terminated::new([
///     // SAFETY: `new_show` has the type of `cmdline_proc_show` and keeps to the same rules.
///     unsafe { Func::new(c"cmdline_proc_show", new_show) },
/// ]);
/// static OBJECTS: Terminated<Object, 1> = Terminated::new([Object::vmlinux(&FUNCS)]);
///
/// module_livepatch! {
///     objects: OBJECTS,
///     replace: false,
///     name: "rust_livepatch",
///     license: "GPL",
/// }
/// ```
///
/// [`Object`]: crate::livepatch::Object
/// [`State`]: crate::livepatch::State
/// [`module!`]: kernel::prelude::module
#[macro_export]
macro_rules! module_livepatch {
    (objects: $objects:ident, $(states: $states:ident,)? replace: $replace:expr, $($f:tt)*) => {
        static LIVEPATCH: $crate::livepatch::Patch =
            $crate::livepatch::Patch::new(&$objects, $replace)$(.states(&$states))?;

        struct LivepatchModule;

        impl ::kernel::Module for LivepatchModule {
            #[inline]
            fn init(module: &'static ::kernel::ThisModule) -> ::kernel::error::Result<Self> {
                // SAFETY: This is the init function of `module`, which holds all of the patch. It
                // runs once, and nothing comes after this that could fail.
                unsafe { LIVEPATCH.enable(module) }.map(|()| Self)
            }
        }

        // The module loader and `klp_enable_patch()` want this mark; `module!` has no key for it.
        // Plain `#[used]` would give the section other flags than those of `module!`'s own entries,
        // and the loader accepts one `.modinfo` section only. objtool looks for the mark after a
        // NUL; readers skip empty strings.
        #[cfg(MODULE)]
        #[link_section = ".modinfo"]
        #[used(compiler)]
        static __LIVEPATCH: [u8; 13] = *b"\0livepatch=Y\0";

        ::kernel::prelude::module! {
            type: LivepatchModule,
            $($f)*
        }
    };
}

/// Says what a hooks file wants to be registered: the types whose [`Callbacks`] are called, by
/// object, and the states that the live patch has, each with its version.
///
/// kmend-build reads it and registers what it says; here, the compiler checks it.
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
            $($(let _ = $crate::livepatch::State::new($id, $version);)*)?
        };
    };
}
