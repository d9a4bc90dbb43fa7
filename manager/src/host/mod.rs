// SPDX-License-Identifier: GPL-2.0-or-later
//! The system that kmend runs on. All that is read from it goes through [`Host`], whose root can be another folder:
//! an image that is being put together, or a test's.

pub mod clock;
pub mod elsewhere;
pub mod indexes;
pub mod kernel;
pub mod livepatch;
pub mod lock;
pub mod modes;
pub mod notes;
pub mod owner;
pub mod policy;
pub mod signer;
pub mod store;
pub mod tasks;
pub mod tracers;
pub mod trust;

use crate::files;
use crate::module::note;
use anyhow::{Context, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Files of the kernel's are not read beyond that many bytes; its list of traced functions may have some millions.
pub const LARGEST: u64 = 64 << 20;

/// A system, seen from its root folder.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// The system whose root is `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether this is the running system itself.
    pub fn is_running_system(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the absolute path `path` of this system is to be found from here.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A path as this system itself has it, for messages.
    pub fn show(&self, path: &Path) -> String {
        match path.strip_prefix(&self.root) {
            Ok(inside) => format!("/{}", inside.display()),
            Err(_) => path.display().to_string(),
        }
    }

    /// The text of a file of the kernel's, without white space at its ends; None where there is no such file, or where
    /// it went away while it was read (tasks end, live patches are removed).
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn text(&self, path: &Path) -> Result<Option<String>> {
        match files::read(path, LARGEST) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_string())),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.show(path))),
        }
    }

    /// Names in a folder, less those that begin with a dot; none where there is no such folder.
    ///
    /// # Errors
    /// It is there and cannot be listed.
    pub fn names(&self, dir: &Path) -> Result<Vec<String>> {
        let cannot = || format!("cannot list {}", self.show(dir));
        let entries = match fs::read_dir(dir) {
            Err(error) if is_gone(&error) => return Ok(Vec::new()),
            entries => entries.with_context(cannot)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => names.extend(entry.file_name().into_string().ok().filter(|n| !n.starts_with('.'))),
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error).with_context(cannot),
            }
        }
        Ok(names)
    }

    /// The running kernel's release, `uname -r`, from /proc/sys/kernel/osrelease.
    ///
    /// # Errors
    /// The file is missing: /proc is not mounted.
    pub fn release(&self) -> Result<String> {
        let path = self.at("/proc/sys/kernel/osrelease");
        let text = self.text(&path)?.filter(|text| !text.is_empty());
        text.with_context(|| {
            format!("{} does not say which kernel runs: is /proc mounted? (-k names a kernel)", self.show(&path))
        })
    }

    /// The running kernel's machine, `uname -m`: from /proc/sys/kernel/arch, which kernels have from 6.1 on, else from
    /// uname(2).
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn machine(&self) -> Result<String> {
        let told = self.text(&self.at("/proc/sys/kernel/arch"))?.filter(|text| !text.is_empty());
        Ok(told.unwrap_or_else(|| rustix::system::uname().machine().to_string_lossy().into_owned()))
    }

    /// The running kernel's GNU build id, hexadecimal, from /sys/kernel/notes; None where the kernel shows none.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn build_id(&self) -> Result<Option<String>> {
        let path = self.at("/sys/kernel/notes");
        match files::read(&path, LARGEST) {
            Ok(notes) => Ok(note::build_id(&notes)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.show(&path))),
        }
    }
}

/// The file is not there: never, or not any more (ESRCH of /proc, ENODEV of sysfs).
pub fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::SRCH, Errno::NODEV];
    error.raw_os_error().is_some_and(|code| gone.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        assert!(!host.is_running_system() && Host::new("/").is_running_system());
        assert!(host.release().is_err());
        fs::create_dir_all(dir.path().join("proc/sys/kernel")).unwrap();
        fs::create_dir_all(dir.path().join("sys/kernel")).unwrap();
        fs::write(dir.path().join("proc/sys/kernel/osrelease"), "6.1.0-50-amd64\n").unwrap();
        fs::write(dir.path().join("proc/sys/kernel/arch"), "ppc64le\n").unwrap();
        assert_eq!(host.release().unwrap(), "6.1.0-50-amd64");
        assert_eq!(host.machine().unwrap(), "ppc64le");
        assert_eq!(host.build_id().unwrap(), None);
        fs::write(
            dir.path().join("sys/kernel/notes"),
            [4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0, 9, 10],
        )
        .unwrap();
        assert_eq!(host.build_id().unwrap().as_deref(), Some("090a"));
        assert_eq!(host.show(&host.at("/sys/kernel/notes")), "/sys/kernel/notes");
        assert_eq!(host.show(Path::new("other.ko")), "other.ko");
        assert_eq!(host.names(&host.at("/nothing")).unwrap(), [""; 0]);
    }
}
