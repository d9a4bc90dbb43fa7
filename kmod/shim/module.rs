// SPDX-License-Identifier: GPL-2.0-only

//! Modules: what makes one, and what the kernel calls.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use crate::{
    bindings,
    error, //
};

/// The `THIS_MODULE` pointer of a module.
#[repr(transparent)]
pub struct ThisModule(*mut bindings::module);

// SAFETY: It can be used from any thread for as long as the module is loaded.
unsafe impl Sync for ThisModule {}

impl ThisModule {
    /// Wraps the pointer `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` must be the `THIS_MODULE` of the module that uses it.
    pub const unsafe fn from_ptr(ptr: *mut bindings::module) -> Self {
        Self(ptr)
    }

    /// The pointer for the C side.
    pub const fn as_ptr(&self) -> *mut bindings::module {
        self.0
    }
}

/// What a module does when it is loaded. Dropping the value is what it does when it is removed.
pub trait Module: Sized + Sync + Send {
    /// Called when the module is loaded; an error ends that.
    fn init(module: &'static ThisModule) -> error::Result<Self>;
}

/// Declares a module: `type` is what implements [`Module`], `name` is the module's; all other keys
/// go into `.modinfo` as they are.
#[macro_export]
macro_rules! module {
    (type: $type:ty, name: $name:literal, $($key:ident: $value:literal,)*) => {
        // modpost writes the name into `.modinfo` by itself.
        $(
            const _: () = {
                const ENTRY: &str = concat!(stringify!($key), "=", $value, "\0");

                #[link_section = ".modinfo"]
                #[used(compiler)]
                static MODINFO: [u8; ENTRY.len()] = match ENTRY.as_bytes().first_chunk() {
                    Some(bytes) => *bytes,
                    None => unreachable!(),
                };
            };
        )*

        const _: () = {
            extern "C" {
                static __this_module: ::core::cell::UnsafeCell<$crate::bindings::module>;
            }

            static THIS_MODULE: $crate::ThisModule =
                // SAFETY: modpost defines `__this_module`, one for each module.
                unsafe { $crate::ThisModule::from_ptr((&raw const __this_module).cast_mut().cast()) };

            static mut MODULE: Option<$type> = None;

            /// Called by the module loader, once.
            #[no_mangle]
            #[link_section = ".init.text"]
            unsafe extern "C" fn init_module() -> $crate::ffi::c_int {
                match <$type as $crate::Module>::init(&THIS_MODULE) {
                    Ok(module) => {
                        // SAFETY: No other code accesses `MODULE` before this function returns.
                        unsafe { MODULE = Some(module) };
                        0
                    }
                    Err(error) => error.to_errno(),
                }
            }

            /// Called when the module is removed, once, after `init_module` has returned 0.
            #[no_mangle]
            #[link_section = ".exit.text"]
            unsafe extern "C" fn cleanup_module() {
                // SAFETY: No other code accesses `MODULE` when the module is being removed.
                unsafe { MODULE = None };
            }

            // Both are called through pointers that the loader has: objtool has to see that their
            // addresses are taken, or it would have them without ENDBR.
            #[link_section = ".init.data"]
            #[used(compiler)]
            static INIT: unsafe extern "C" fn() -> $crate::ffi::c_int = init_module;

            #[link_section = ".exit.data"]
            #[used(compiler)]
            static EXIT: unsafe extern "C" fn() = cleanup_module;
        };
    };
}
