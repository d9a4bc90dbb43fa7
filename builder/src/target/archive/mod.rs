// SPDX-License-Identifier: GPL-2.0-or-later
//! A target as one file that can be copied to other machines: `export` writes it, `import` makes a stored target from
//! it.
//!
//! The file is a tar in zstd. Its first entry is the [`Header`], its second the [`List`] of all that follows, with a checksum for
//! each file and one over the list in the header. No path in it is absolute, and no time or owner is in it, so the same target
//! gives the same bytes. A reader trusts nothing in the file: `read` compares each entry with the list, and the list's
//! rules keep every path and link inside the target.

mod export;
mod import;
mod list;
mod read;
#[cfg(test)]
mod tests;

pub use export::{export, Exported};
pub use import::{import, FOLDER};
pub use list::{Entry, Kind, List};
pub use read::{check, read, Sink};

use serde::{Deserialize, Serialize};
use std::fmt;

/// The form of archives; another one gets another number.
const FORM: u64 = 1;
/// The name of the first entry.
const HEADER: &str = "kmend-target.json";
/// The name of the second entry.
const LIST: &str = "kmend-target.list";
/// Times in an archive and of the files that an import makes, seconds since 1970: make must find none newer than another.
const TIME: u64 = 946_684_800;

/// The folders at the top of an archive.
pub const PARTS: [&str; 3] = [ROOT, RUST, TARGET];
/// The build root with the kernel's compilers.
const ROOT: &str = "root";
/// The build root with the Rust toolchain, where that is not the same.
const RUST: &str = "rust";
/// The kernel: source, image, modules.
const TARGET: &str = "target";
/// What is in [`TARGET`]. An import takes vmlinux out of vmlinuz, so that the two are the same kernel.
const FILES: [&str; 5] = ["Module.symvers", "config", "lib", "tree", "vmlinuz"];

/// What an archive says about itself. Compilers, options and the build id are not in it: an import reads them from the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORM`].
    pub kmend_target: u64,
    /// The target's name: `debian:forky/7.2.12+deb14-amd64`.
    pub name: String,
    /// The kernel's architecture.
    pub arch: String,
    /// `uname -r`.
    pub release: String,
    /// The distribution's package version; empty where there is none.
    pub version: String,
    /// The architecture of the machines on which its compilers run.
    pub host: String,
    /// The part of [`PARTS`] that has the Rust toolchain of a kernel without CONFIG_RUST.
    pub toolchain: Option<String>,
    /// How many lines the list has.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// SHA-256 of the list, hexadecimal.
    pub list: String,
}

/// Why an archive was not written or not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFault {
    /// Stable name of the reason.
    pub code: &'static str,
    /// The archive, or the target that should become one; empty until it is known.
    pub about: String,
    /// What was found, in one sentence.
    pub reason: String,
    /// What the user can do.
    pub hint: String,
}

impl ArchiveFault {
    fn new(code: &'static str, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, about: String::new(), reason: reason.into(), hint: hint.into() }
    }

    /// The entry at `path` is not as the list says, or the list is not sound.
    fn damaged(reason: impl Into<String>) -> Self {
        Self::new("archive-damaged", reason, AGAIN)
    }
}

/// What helps with most of them.
const AGAIN: &str =
    "copy the file again and compare its SHA-256 with what `target export` printed; export it again if they agree";

impl fmt::Display for ArchiveFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}: {}", self.code, self.about, self.reason)?;
        match self.hint.is_empty() {
            true => Ok(()),
            false => write!(f, "\n    what you can do: {}", self.hint),
        }
    }
}

impl std::error::Error for ArchiveFault {}

/// A failure that is a fault of the archive names it; another one is passed on.
fn named(error: anyhow::Error, about: &str) -> anyhow::Error {
    match error.downcast::<ArchiveFault>() {
        Ok(fault) => ArchiveFault { about: about.into(), ..fault }.into(),
        Err(other) => other,
    }
}
