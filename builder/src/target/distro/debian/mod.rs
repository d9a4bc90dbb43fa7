// SPDX-License-Identifier: GPL-2.0-or-later
//! Debian: suites, its archive by way of apt, its packages' names, its order of versions.

mod add;
pub mod apt;
mod installed;
pub mod mmdebstrap;
pub mod roots;
pub mod source;
mod sources;
mod versions;

use super::{Ask, Distro, Facts, Format};
use crate::files;
use crate::target::host::{Packaged, Running};
use crate::target::options::{Given, Opt};
use crate::target::Added;
use anyhow::{Context, Result};
use kmend_shared::arch::ArchNames;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// The distribution.
pub struct Debian;

/// Facts about it.
const FACTS: Facts = Facts {
    name: "debian",
    newest: "debian:SUITE",
    one: "debian:SUITE/RELEASE",
    examples: [("debian:forky", "the newest kernel of the suite"), ("debian:forky/7.2.12+deb14-amd64", "this one")],
    missing: "if Debian has such a suite or kernel",
    options: &[
        Opt {
            name: "arch",
            value: "ARCH",
            help: "The kernel's architecture: x86_64 (amd64), ppc64le (ppc64el); this machine's by default",
            many: false,
        },
        Opt {
            name: "mirror",
            value: "URI",
            help: "An archive to use instead of the one in this machine's apt sources",
            many: false,
        },
    ],
    format: Format::Deb,
    cache: &[("apt", "package lists"), ("debs", "packages of kernels and sources")],
    tool: "dpkg",
};

/// The suite that has the Rust toolchain for kernels without CONFIG_RUST: rustc has to know what the kernels' flags come to,
/// -Zfunction-return (1.76) and -Zpatchable-function-entry (1.83) among them.
const RUST_SUITE: &str = "trixie";

/// The suite and the package of a busybox that needs no libraries.
const BUSYBOX: (&str, &str) = ("bookworm", "busybox-static");

impl Distro for Debian {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn add(&self, ask: &Ask) -> Result<Added> {
        add::add(&add::Request::parse(ask)?)
    }

    fn packaged(&self, running: &Running, images: &[String], given: &Given) -> Result<Option<Packaged>> {
        installed::packaged(running, images, given)
    }

    fn release<'a>(&self, rest: &'a str) -> Option<&'a str> {
        let release = rest.split_once('/').map(|(_, release)| release);
        // What is no number is a flavour: `forky/cloud`.
        release.filter(|release| release.starts_with(|c: char| c.is_ascii_digit()))
    }

    fn flavour<'a>(&self, release: &'a str) -> Option<&'a str> {
        let (before, _arch) = release.rsplit_once('-')?;
        let (_, word) = before.rsplit_once('-')?;
        is_flavour(word).then_some(word)
    }

    fn order(&self, a: &str, b: &str) -> Result<Ordering> {
        versions::order(a, b)
    }

    fn rust_root(&self) -> Result<PathBuf> {
        let archive = apt::Archive::open(RUST_SUITE, &apt::machine_arch()?, None)?;
        roots::make(&archive, &roots::Wanted::rust(&archive)?)
    }

    fn rust_sources(&self, root: &Path) -> Vec<String> {
        // The package rust-src.
        let found = std::fs::read_dir(root.join("usr/src")).into_iter().flatten().flatten();
        found
            .filter(|e| e.path().join("library/core/src/lib.rs").is_file())
            .map(|e| format!("/usr/src/{}/library", e.file_name().to_string_lossy()))
            .collect()
    }

    fn busybox(&self, arch: &ArchNames) -> Result<Vec<u8>> {
        let (suite, package) = BUSYBOX;
        let deb = apt::fetch(suite, arch.debian, package, None)?;
        let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
        apt::unpack(&deb, scratch.path(), &[])?;
        let places = ["bin/busybox", "usr/bin/busybox"].map(|p| scratch.path().join(p));
        let found = places.into_iter().find(|p| p.is_file());
        files::read(&found.with_context(|| format!("{} holds no busybox", deb.display()))?)
    }
}

/// Whether `word` can be a flavour's name: `cloud`, `rt`.
fn is_flavour(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_in_names() {
        assert_eq!(Debian.release("forky/7.2.12+deb14-amd64"), Some("7.2.12+deb14-amd64"));
        assert_eq!(Debian.release("forky"), None);
        assert_eq!((Debian.release("forky/"), Debian.release("forky/cloud")), (None, None));
    }

    #[test]
    fn flavours_of_releases() {
        for (release, flavour) in [
            ("7.2.12+deb14-amd64", None),
            ("7.2.12+deb14-cloud-amd64", Some("cloud")),
            ("6.12.107+deb13-rt-amd64", Some("rt")),
            ("6.1.0-50-amd64", None),
            ("6.1.0-50-cloud-amd64", Some("cloud")),
            ("7.3-rc7-amd64", None),
            ("6.12.107+deb13-powerpc64le", None),
            ("7", None),
        ] {
            assert_eq!(Debian.flavour(release), flavour, "{release}");
        }
    }
}
