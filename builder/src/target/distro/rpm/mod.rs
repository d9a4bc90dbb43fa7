// SPDX-License-Identifier: GPL-2.0-or-later
//! Distributions whose kernels are RPM packages: RHEL and what is built from it, Fedora, SUSE. A kernel's packages and its source
//! package in, by their files, or out of repositories by dnf.

mod add;
mod compare;
mod dnf;
mod fetch;
mod installed;
mod kernel;
mod package;
pub mod roots;
mod signature;
mod source;

use super::{Ask, Distro, Facts, Format};
use crate::target::host::{Packaged, Running};
use crate::target::options::{Given, Opt, ROOT, RUST, SOURCE};
use crate::target::Added;
use anyhow::{bail, Result};
use kmend_shared::arch::{self, ArchNames};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// The distributions with RPM packages.
pub struct Rpm;

/// Facts about them.
const FACTS: Facts = Facts {
    name: "rpm",
    newest: "rpm:NAME",
    one: "rpm:NAME/RELEASE",
    examples: [
        ("rpm:el9 --rpm kernel-*.x86_64.rpm --source kernel-*.src.rpm", "a kernel by its RPMs, under any name"),
        ("rpm:el9/5.14.0-427.el9.x86_64", "this one, out of repositories by dnf"),
    ],
    missing: "if its RPMs are at hand (--rpm, --source) or in a repository of dnf's (--release)",
    options: &[
        Opt {
            name: "rpm",
            value: "FILE",
            help: "The kernel's RPMs: kernel-core (or kernel), kernel-modules*, kernel-devel (for rpm:NAME)",
            many: true,
        },
        Opt {
            name: "release",
            value: "UNAME_R",
            help: "Fetch the RPMs of this kernel (`uname -r` on the host) and of its compilers by dnf (for rpm:NAME)",
            many: false,
        },
        Opt {
            name: "repo",
            value: "URL",
            help: "A repository to fetch from, by its address, folder or ID [default: this machine's] (for rpm:NAME)",
            many: true,
        },
        Opt {
            name: "repofrompath",
            value: "ID,URL",
            help: "A repository to fetch from, as dnf takes it (for rpm:NAME)",
            many: true,
        },
        Opt {
            name: "releasever",
            value: "N",
            help: "The distribution's release in the repositories' addresses [default: this machine's] (for rpm:NAME)",
            many: false,
        },
        SOURCE,
        ROOT,
        RUST,
        Opt {
            name: "gpg-key",
            value: "FILE",
            help: "Public keys, one of which has to have signed each RPM [default: signatures are not checked] (for rpm:NAME)",
            many: true,
        },
    ],
    format: Format::Rpm,
    cache: &[("dnf", "package lists, and packages of kernels on their way")],
    tool: "dnf",
};

impl Distro for Rpm {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn add(&self, ask: &Ask) -> Result<Added> {
        add::add(ask)
    }

    fn packaged(&self, running: &Running, images: &[String], given: &Given) -> Result<Option<Packaged>> {
        installed::packaged(running, images, given)
    }

    fn release<'a>(&self, rest: &'a str) -> Option<&'a str> {
        let release = rest.split_once('/').map(|(_, release)| release);
        release.filter(|release| release.starts_with(|c: char| c.is_ascii_digit()))
    }

    fn flavour<'a>(&self, release: &'a str) -> Option<&'a str> {
        // `5.14.0-427.el9.x86_64+rt`; a plus that a version has in it is followed by more than a word.
        let (_, word) = release.rsplit_once('+')?;
        (!word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())).then_some(word)
    }

    fn order(&self, a: &str, b: &str) -> Result<Ordering> {
        Ok(rpm_version::rpm_evr_compare(a, b))
    }

    fn rust_root(&self) -> Result<PathBuf> {
        roots::rust(&dnf::Dnf::open(&Given::default(), ArchNames::named(arch::host())?)?)
    }

    fn rust_sources(&self, root: &Path) -> Vec<String> {
        // The package rust-src; rustc looks for it there.
        let folder = "usr/lib/rustlib/src/rust/library";
        let is_there = root.join(folder).join("core/src/lib.rs").is_file();
        is_there.then(|| format!("/{folder}")).into_iter().collect()
    }

    fn busybox(&self, _arch: &ArchNames) -> Result<Vec<u8>> {
        bail!("kmend takes no busybox out of repositories of RPMs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_rpm_does() {
        let order = |a, b| Rpm.order(a, b).unwrap();
        assert_eq!(order("5.14.0-427.el9", "5.14.0-427.13.1.el9_4"), Ordering::Less);
        assert_eq!(order("6.12.0-55.9.1.el10_0", "6.12.0-55.10.1.el10_0"), Ordering::Less);
        assert_eq!(order("6.12~rc1-1", "6.12-1"), Ordering::Less);
        assert_eq!(Rpm.release("el9/5.14.0-427.el9.x86_64"), Some("5.14.0-427.el9.x86_64"));
        assert_eq!((Rpm.release("el9"), Rpm.release("el9/")), (None, None));
        assert_eq!(Rpm.flavour("5.14.0-427.el9.x86_64+rt"), Some("rt"));
        assert_eq!(Rpm.flavour("5.14.0-427.el9.x86_64"), None);
    }
}
