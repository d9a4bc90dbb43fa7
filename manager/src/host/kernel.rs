// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel is asked to do: the three module syscalls, writes to files of sysfs, and time that passes.
//! [`Running`] asks the kernel that runs; a test has a kernel of its own ([`super::elsewhere`]).

use rustix::io::Errno;
use rustix::system;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// A kernel that can be asked. Errors are its errno values.
pub trait Kernel {
    /// Loads a module, as insmod does: finit_module(2), or init_module(2) where the kernel has no such call.
    /// `file` is open at `path`, `image` what it holds.
    ///
    /// # Errors
    /// The kernel's.
    fn load(&self, path: &Path, file: &File, image: &[u8]) -> Result<(), Errno>;

    /// Removes a module that no one uses, as rmmod does: delete_module(2).
    ///
    /// # Errors
    /// The kernel's.
    fn delete(&self, name: &str) -> Result<(), Errno>;

    /// Writes to a file of sysfs.
    ///
    /// # Errors
    /// The kernel's.
    fn write(&self, path: &Path, value: &str) -> Result<(), Errno>;

    /// Lets time pass.
    fn sleep(&self, time: Duration);
}

/// The kernel that runs.
pub struct Running;

impl Kernel for Running {
    fn load(&self, _path: &Path, file: &File, image: &[u8]) -> Result<(), Errno> {
        // The file is handed over, not the bytes, where that is possible: IMA and LoadPin judge files.
        match system::finit_module(file, c"", 0) {
            Err(Errno::NOSYS) => system::init_module(image, c""),
            done => done,
        }
    }

    fn delete(&self, name: &str) -> Result<(), Errno> {
        // O_NONBLOCK, as rmmod: do not wait for somebody to let go of it.
        const O_NONBLOCK: i32 = 0o4000;
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        system::delete_module(&name, O_NONBLOCK)
    }

    fn write(&self, path: &Path, value: &str) -> Result<(), Errno> {
        let file = OpenOptions::new().write(true).open(path);
        file.and_then(|mut file| file.write_all(value.as_bytes())).map_err(|error| errno(&error))
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// What an errno of loading a module means and what can be done, in words: (meaning, advice). `signed` is whether a
/// signature is appended to it.
pub fn explain_load(errno: Errno, signed: bool) -> (&'static str, &'static str) {
    const LOG: &str = "the kernel's log (dmesg) has its reason";
    const SIGN: &str = "install the signed build of it, or sign it with a key that this kernel knows";
    const ENROLL: &str =
        "enroll the key of its maker (mokutil --import, or the kernel's keyring), or install the build that \
                          is signed for this kernel";
    match errno {
        Errno::PERM => (
            "not permitted",
            "run this as root; if it was, modules are locked (lockdown, /proc/sys/kernel/modules_disabled)",
        ),
        Errno::ACCESS => {
            ("not permitted by a security module", "the audit log says which rule (SELinux, IMA, LoadPin)")
        }
        // Kernels before 5.4 answer ENOKEY to a module without a signature, and EKEYREJECTED to one that is damaged.
        Errno::KEYREJECTED | Errno::NOKEY | Errno::NODATA if !signed => {
            ("it has no signature, and this kernel accepts only signed modules", SIGN)
        }
        Errno::KEYREJECTED => ("its signature is refused: it does not fit the file, or its key is not trusted", ENROLL),
        Errno::NOKEY => ("it is signed with a key that this kernel does not know", ENROLL),
        Errno::KEYREVOKED => ("the key that it is signed with was revoked", SIGN),
        Errno::KEYEXPIRED => ("the key that it is signed with has expired", SIGN),
        Errno::BADMSG => ("its signature is damaged", "fetch the file again"),
        Errno::NOPKG => ("its signature is of a kind that this kernel cannot check", SIGN),
        Errno::NOEXEC => ("the kernel rejects its format, its vermagic or its version of a symbol", LOG),
        Errno::INVAL => (
            "livepatch refuses it: a function that it replaces is not in this kernel, or it lacks a state of the live \
             patch in force",
            LOG,
        ),
        Errno::NOENT => ("it uses a symbol that this kernel does not have", LOG),
        Errno::EXIST => ("a module of this name is loaded already", "`kmend list` shows what is loaded"),
        Errno::NODEV => ("its init function, or a callback before it is applied, refused", LOG),
        Errno::NOMEM => ("not enough memory", "free some memory and try again"),
        Errno::NOSYS => ("this kernel cannot load modules, or has no livepatch", LOG),
        Errno::TXTBSY => ("another program is writing to the file", "wait until it has finished and try again"),
        Errno::BUSY => (
            "busy: another live patch is in transition, or another program redirects a function that it replaces",
            "`kmend transition` shows which tasks a transition waits for; /sys/kernel/tracing/enabled_functions who \
             redirects a function (flag I)",
        ),
        _ => ("the kernel refuses it", LOG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_signature_and_an_unknown_key_are_two_things() {
        assert!(explain_load(Errno::KEYREJECTED, false).0.starts_with("it has no signature"));
        assert!(explain_load(Errno::NOKEY, false).0.starts_with("it has no signature"));
        assert!(explain_load(Errno::NOKEY, true).0.contains("does not know"));
        assert!(explain_load(Errno::KEYREJECTED, true).0.contains("not trusted"));
        assert!(explain_load(Errno::BADMSG, true).0.contains("damaged"));
    }
}
