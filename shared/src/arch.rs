// SPDX-License-Identifier: GPL-2.0-or-later
//! The one table of the architectures that live patches are made for.

use std::fmt;

/// What the world calls one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchNames {
    /// `uname -m`'s name, which is RPM's too.
    pub uname: &'static str,
    /// Debian's.
    pub debian: &'static str,
    /// kbuild's ARCH.
    pub kbuild: &'static str,
    /// Debian's package that depends on its newest kernel.
    pub newest: &'static str,
    /// `e_machine` of its ELF files (elf.h).
    pub machine: u16,
}

/// All of them.
pub const ARCHES: &[ArchNames] = &[ArchNames::X86_64, ArchNames::PPC64LE];

impl ArchNames {
    /// 64-bit x86.
    pub const X86_64: Self =
        Self { uname: "x86_64", debian: "amd64", kbuild: "x86", newest: "linux-image-amd64", machine: 62 };

    /// 64-bit POWER, little-endian.
    pub const PPC64LE: Self =
        Self { uname: "ppc64le", debian: "ppc64el", kbuild: "powerpc", newest: "linux-image-powerpc64le", machine: 21 };

    /// By `uname -m`'s or Debian's name.
    ///
    /// # Errors
    /// None is called so.
    pub fn named(name: &str) -> Result<&'static Self, Unknown> {
        ARCHES.iter().find(|a| a.uname == name || a.debian == name).ok_or_else(|| Unknown(name.into()))
    }

    /// The architecture that a kernel's release ends in, as distributions name them: `…-amd64`, `….x86_64`, `…-powerpc64le`. None
    /// where it ends in none.
    pub fn of_release(release: &str) -> Option<&'static Self> {
        let names = |a: &Self| [a.uname, a.debian, a.newest.strip_prefix("linux-image-").unwrap_or(a.debian)];
        let ends = |name: &str| release.strip_suffix(name).is_some_and(|rest| rest.ends_with(['.', '-']));
        ARCHES.iter().find(|a| names(a).into_iter().any(ends))
    }

    /// By `e_machine`.
    pub fn of_machine(machine: u16) -> Option<&'static Self> {
        ARCHES.iter().find(|a| a.machine == machine)
    }
}

impl std::str::FromStr for ArchNames {
    type Err = Unknown;

    fn from_str(name: &str) -> Result<Self, Unknown> {
        Self::named(name).copied()
    }
}

/// A name that stands for no architecture of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = ARCHES.iter().map(|a| a.uname).collect();
        write!(f, "architecture {:?} is not supported; supported are: {}", self.0, known.join(", "))
    }
}

impl std::error::Error for Unknown {}

/// The machine that this program was compiled for, by `uname -m`'s name.
pub fn host() -> &'static str {
    match std::env::consts::ARCH {
        // Rust has one name for both byte orders.
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_each_of_its_names() {
        for arch in ARCHES {
            assert_eq!([arch.uname, arch.debian].map(ArchNames::named), [Ok(arch), Ok(arch)]);
            assert_eq!(ArchNames::of_machine(arch.machine), Some(arch));
        }
        assert_eq!(ArchNames::of_machine(183), None);
        for (release, arch) in [
            ("7.2.12+deb14-amd64", "x86_64"),
            ("6.1.0-50-cloud-amd64", "x86_64"),
            ("5.14.0-362.8.1.el9_3.ppc64le", "ppc64le"),
            ("7.3.0-powerpc64le", "ppc64le"),
        ] {
            assert_eq!(ArchNames::of_release(release).map(|a| a.uname), Some(arch), "{release}");
        }
        assert_eq!(["7.2.0", "7.2.0amd64", "7.2.0-arm64", ""].map(ArchNames::of_release), [None; 4]);
        assert!(ArchNames::named("m68k").unwrap_err().to_string().contains("x86_64, ppc64le"));
        assert_ne!(host(), "powerpc64");
    }
}
