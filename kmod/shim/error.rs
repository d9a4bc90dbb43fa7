// SPDX-License-Identifier: GPL-2.0-only

//! Kernel errors.
//!
//! C header: [`include/uapi/asm-generic/errno-base.h`](srctree/include/uapi/asm-generic/errno-base.h)

use crate::ffi::c_int;

/// An error number of the C side: negative.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(c_int);

/// Error numbers.
pub mod code {
    macro_rules! codes {
        ($($name:ident)*) => {
            $(
                #[doc = concat!("`", stringify!($name), "` of the C side.")]
                pub const $name: super::Error =
                    super::Error(-(crate::bindings::$name as crate::ffi::c_int));
            )*
        };
    }

    codes! {
        EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
        ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
        ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EOVERFLOW EMSGSIZE ETIMEDOUT
    }
}

impl Error {
    /// The number as the C side has it.
    pub const fn to_errno(self) -> c_int {
        self.0
    }
}

/// A [`Result`](core::result::Result) with a kernel error.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

/// Makes a [`Result`] of what a C function returned: negative numbers are errors.
pub const fn to_result(err: c_int) -> Result {
    if err < 0 {
        Err(Error(err))
    } else {
        Ok(())
    }
}
