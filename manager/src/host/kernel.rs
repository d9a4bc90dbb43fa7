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

    /// Removes a module that nobody uses, as rmmod does: delete_module(2).
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

/// What an errno of loading a module means and what can be done, in words: (meaning, advice).
pub fn explain_load(errno: Errno) -> (&'static str, &'static str) {
    const LOG: &str = "the kernel's log (dmesg) has its reason";
    match errno {
        Errno::PERM => (
            "not permitted",
            "run this as root; if it was, modules are locked (lockdown, /proc/sys/kernel/modules_disabled)",
        ),
        Errno::ACCESS => {
            ("not permitted by a security module", "the audit log says which rule (SELinux, IMA, LoadPin)")
        }
        Errno::KEYREJECTED => {
            ("its signature is refused, or it has none", "install the signed build of it, or enroll its key")
        }
        Errno::NOKEY => ("it is signed with a key that this kernel does not know", "enroll the key of its maker"),
        Errno::BADMSG => ("its signature is damaged", "fetch the file again"),
        Errno::NOEXEC => ("the kernel does not take its format", LOG),
        Errno::INVAL => (
            "livepatch refuses it: a function that it replaces is not in this kernel, or it lacks a state of the live \
             patch in force",
            LOG,
        ),
        Errno::NOENT => ("it uses a symbol that this kernel does not have", LOG),
        Errno::EXIST => ("a module of this name is loaded already", "`kmend list` shows what is loaded"),
        Errno::NOMEM => ("not enough memory", "free some and try again"),
        Errno::TXTBSY => ("somebody is writing to the file", "wait for that to end and try again"),
        Errno::BUSY => ("busy: another live patch is in transition", "`kmend status` shows which tasks it waits for"),
        _ => ("the kernel refuses it", LOG),
    }
}
