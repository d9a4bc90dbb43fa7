// SPDX-License-Identifier: GPL-2.0-only

//! Kernel live patching.
//!
//! A live patch replaces functions of the running kernel with functions of a module. It names the
//! functions to be replaced, one [`Func`] each, grouped by the [`Object`] that holds them: vmlinux
//! or a module. [`module_livepatch!`] makes a module of such a list.
//!
//! What is registered comes in as constants; [`Patch`] lays it out as the zero-terminated arrays
//! that the C side wants and keeps them until the module goes away.
//!
//! C header: [`include/linux/livepatch.h`](srctree/include/linux/livepatch.h)
//!
//! Reference: <https://docs.kernel.org/livepatch/livepatch.html>
//!
//! [`module_livepatch!`]: crate::module_livepatch

use crate::bindings;
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque,
    ThisModule, //
};

/// A function that takes the place of another one.
///
/// # Invariants
///
/// `new_func` can be called wherever the function named `old_name` is called, in the way in which
/// it is called there.
pub struct Func {
    old_name: &'static CStr,
    old_sympos: c_ulong,
    new_func: unsafe extern "C" fn(),
}

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
    pub const unsafe fn new(old_name: &'static CStr, new_func: unsafe extern "C" fn()) -> Self {
        // INVARIANT: By the safety requirements, `new_func` can stand in for `old_name`.
        Self {
            old_name,
            old_sympos: 0,
            new_func,
        }
    }

    /// Tells the function from others of the same name in the same object.
    ///
    /// `position` counts them in the order of kallsyms, from 1; 0 says that the name is unique.
    pub const fn sympos(mut self, position: c_ulong) -> Self {
        self.old_sympos = position;
        self
    }
}

/// A part of the kernel with functions to be replaced: vmlinux or a module.
pub struct Object {
    name: Option<&'static CStr>,
    funcs: &'static [Func],
}

impl Object {
    /// The kernel image itself.
    pub const fn vmlinux(funcs: &'static [Func]) -> Self {
        Self { name: None, funcs }
    }

    /// The module `name`, with underscores where its file name has hyphens.
    ///
    /// It need not be loaded: its functions are replaced when it comes.
    pub const fn module(name: &'static CStr, funcs: &'static [Func]) -> Self {
        Self {
            name: Some(name),
            funcs,
        }
    }
}

/// The arrays behind a [`struct klp_patch`].
///
/// # Invariants
///
/// - `objs` and each object's functions are followed by a zeroed entry, which ends them.
/// - `funcs` of every other entry of `objs` points to the first of its functions in `_funcs`.
///
/// [`struct klp_patch`]: srctree/include/linux/livepatch.h
struct Tables {
    objs: KVVec<Opaque<bindings::klp_object>>,
    // The functions of all objects, one object after the other. Read by the C side only.
    _funcs: KVVec<Opaque<bindings::klp_func>>,
}

impl Tables {
    fn new(objects: &[Object]) -> Result<Self> {
        let total = objects.iter().map(|object| object.funcs.len() + 1).sum();
        let mut funcs = KVVec::with_capacity(total, GFP_KERNEL)?;
        for object in objects {
            for func in object.funcs {
                funcs.push(
                    Opaque::new(bindings::klp_func {
                        old_name: func.old_name.as_char_ptr(),
                        new_func: func.new_func as *mut c_void,
                        old_sympos: func.old_sympos,
                        ..Default::default()
                    }),
                    GFP_KERNEL,
                )?;
            }
            funcs.push(Opaque::new(Default::default()), GFP_KERNEL)?;
        }

        let mut objs = KVVec::with_capacity(objects.len() + 1, GFP_KERNEL)?;
        let mut rest = funcs.as_ptr();
        for object in objects {
            objs.push(
                Opaque::new(bindings::klp_object {
                    name: object
                        .name
                        .map_or(core::ptr::null(), |name| name.as_char_ptr()),
                    funcs: Opaque::cast_into(rest),
                    ..Default::default()
                }),
                GFP_KERNEL,
            )?;
            rest = rest.wrapping_add(object.funcs.len() + 1);
        }
        objs.push(Opaque::new(Default::default()), GFP_KERNEL)?;

        // INVARIANT: The loops above have put a zeroed entry after each object's functions and
        // after the last object, and `rest` has moved on by what the first loop pushed.
        Ok(Self {
            objs,
            _funcs: funcs,
        })
    }
}

/// A live patch that was enabled.
///
/// Dropping it frees its memory. It does not disable the patch: that is done from user space,
/// through `/sys/kernel/livepatch/<module>/enabled`, or by a newer patch that replaces this one.
///
/// # Invariants
///
/// - `patch` and `tables` were handed to `klp_enable_patch()`, which took a reference to the module
///   that owns them. They belong to the C side until it gives that reference back.
/// - `patch.objs` points to `tables.objs`.
#[pin_data]
pub struct Patch {
    tables: Tables,
    #[pin]
    patch: Opaque<bindings::klp_patch>,
}

impl Patch {
    /// Creates an initializer that enables a live patch.
    ///
    /// With `replace`, it takes the place of all live patches that are enabled by then. When the
    /// initializer returns, the transition has begun, but tasks may still be running in the old
    /// functions.
    ///
    /// # Safety
    ///
    /// - The initializer must be run by the init function of `module`, and nothing that comes after
    ///   it may make that function fail: the module would be unloaded while the patch is in use.
    /// - The result must be dropped by the exit function of `module`, or not at all.
    pub unsafe fn enable(
        module: &'static ThisModule,
        objects: &'static [Object],
        replace: bool,
    ) -> impl PinInit<Self, Error> {
        // INVARIANT: `klp_enable_patch()` is called last, with pointers to the fields' final places:
        // `patch` is pinned, and `tables` holds its arrays in allocations of their own.
        try_pin_init!(&this in Self {
            tables: Tables::new(objects)?,
            patch <- Opaque::try_ffi_init(|slot: *mut bindings::klp_patch| {
                // SAFETY: `this` is valid, and its field `tables` is initialized by now.
                let tables = unsafe { &(*this.as_ptr()).tables };
                // SAFETY: `slot` is valid for writes by the contract of `try_ffi_init`.
                unsafe {
                    slot.write(bindings::klp_patch {
                        mod_: module.as_ptr(),
                        objs: Opaque::cast_into(tables.objs.as_ptr()),
                        replace,
                        ..Default::default()
                    })
                };
                // SAFETY: `slot` was filled above. By the invariants of `Tables`, its arrays are
                // terminated. All of it stays in place until it is dropped: by the safety
                // requirements not before the module's exit function, which does not run while
                // the C side holds its reference to the module. If enabling fails, the C side has
                // let go of it before it returns.
                to_result(unsafe { bindings::klp_enable_patch(slot) })
            }),
        }? Error)
    }
}

// SAFETY: All that can be done with a `Patch` is to drop it, which can be done from any thread.
unsafe impl Send for Patch {}

// SAFETY: A shared reference to a `Patch` gives access to nothing.
unsafe impl Sync for Patch {}

/// Declares a module that is a live patch.
///
/// `objects` is a `'static` array or slice of [`Object`]s, `replace` says whether this patch takes
/// the place of all older ones. What follows goes to [`module!`].
///
/// Loading the module enables the patch; the module can be removed once the patch was disabled.
///
/// # Examples
///
/// ```ignore
/// static FUNCS: [Func; 1] = [
///     // SAFETY: `new_show` has the type of `cmdline_proc_show` and keeps to the same rules.
///     unsafe { Func::new(c"cmdline_proc_show", new_show) },
/// ];
/// static OBJECTS: [Object; 1] = [Object::vmlinux(&FUNCS)];
///
/// kernel::module_livepatch! {
///     objects: OBJECTS,
///     replace: false,
///     name: "rust_livepatch",
///     license: "GPL",
/// }
/// ```
///
/// [`Object`]: crate::livepatch::Object
/// [`module!`]: kernel::prelude::module
#[macro_export]
macro_rules! module_livepatch {
    (objects: $objects:expr, replace: $replace:expr, $($f:tt)*) => {
        #[::kernel::prelude::pin_data]
        struct LivepatchModule {
            #[pin]
            _patch: $crate::livepatch::Patch,
        }

        impl ::kernel::InPlaceModule for LivepatchModule {
            fn init(
                module: &'static ::kernel::ThisModule,
            ) -> impl ::pin_init::PinInit<Self, ::kernel::error::Error> {
                ::kernel::try_pin_init!(Self {
                    // SAFETY: This is the init function of `module`. `_patch` is the only field, so
                    // that nothing comes after it; `module!` drops it in the exit function.
                    _patch <- unsafe {
                        $crate::livepatch::Patch::enable(module, &$objects, $replace)
                    },
                })
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
