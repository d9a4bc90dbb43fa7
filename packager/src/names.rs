// SPDX-License-Identifier: GPL-2.0-or-later
//! All names that follow from a kernel release (`uname -r`): packages, file, module, and what packages say
//! they provide. They follow RHEL's, so that its tools find the packages.

use crate::text;
use anyhow::{ensure, Result};
use kmend_shared::arch::{ArchNames as Arch, ARCHES};
use kmend_shared::names::{self, kernel_id, without_dist, MODULE_NAME_MAX};

/// A kernel release and the names made from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    release: String,
    arch: Arch,
    base: String,
    dist: String,
    id: String,
}

impl Names {
    /// The names for the kernel that calls itself `release` (`uname -r`). A release that ends in the name of an
    /// architecture has to end in that of `arch`; characters that kernels do not have there are refused.
    pub fn new(release: &str, arch: Arch) -> Result<Names> {
        text::word("kernel release", release, "._+~-")?;
        ensure!(
            release.starts_with(|c: char| c.is_ascii_digit()) && release.len() <= 64,
            "kernel release {release:?} is none: `uname -r` starts with a digit and has at most 64 characters"
        );
        let mut base = release;
        for known in ARCHES {
            if let Some(rest) = release.strip_suffix(&format!(".{}", known.uname)) {
                ensure!(
                    *known == arch,
                    "kernel release {release} is of {}, the package of {}",
                    known.uname,
                    arch.uname
                );
                base = rest;
            }
        }
        let (dist, id) = (&base[without_dist(base).len()..], kernel_id(release));
        ensure!(!id.is_empty(), "kernel release {release:?} leaves no name");
        Ok(Names { release: release.into(), arch, base: base.into(), dist: dist.into(), id })
    }

    /// The kernel release itself: 5.14.0-362.8.1.el9_3.x86_64.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The architecture.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The release less the architecture: 5.14.0-362.8.1.el9_3.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The dist tag with its dot (.el9_3), or nothing.
    pub fn dist(&self) -> &str {
        &self.dist
    }

    /// The kernel's part of names: 5_14_0-362_8_1.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The RPM's name: kpatch-patch-5_14_0-362_8_1.
    pub fn rpm(&self) -> String {
        names::rpm(&self.release)
    }

    /// The deb's name: kpatch-patch-7.2.12+deb14-amd64.
    pub fn deb(&self) -> String {
        names::deb(&self.release)
    }

    /// Debian's package with the kernel: linux-image-7.2.12+deb14-amd64.
    pub fn deb_kernel(&self) -> String {
        format!("linux-image-{}", names::debian_word(&self.release))
    }

    /// The versions of `kpatch-patch` that the RPM provides: the release without and with the architecture. Refuses
    /// a release with two dashes, which is no version in an RPM.
    pub fn rpm_provides(&self) -> Result<[String; 2]> {
        ensure!(
            self.base.matches('-').count() <= 1,
            "kernel release {}: the version in an RPM's dependency holds one '-' at most; such a kernel cannot be in an RPM\n  \
             what you can do: make a deb, or build the kernel with a CONFIG_LOCALVERSION without '-'",
            self.release
        );
        Ok([self.base.clone(), format!("{}.{}", self.base, self.arch.uname)])
    }

    /// The module's file name: kpatch-5_14_0-362_8_1-1-2.ko.
    pub fn file(&self, version: u32, release: u32) -> String {
        format!("kpatch-{}-{version}-{release}.ko", self.id)
    }

    /// The folder that packages put it into.
    pub fn package_folder(&self) -> String {
        format!("/usr/lib/kpatch/{}", self.release)
    }

    /// The folder that `kpatch install` copies it to.
    pub fn installed_folder(&self) -> String {
        format!("/var/lib/kpatch/{}", self.release)
    }

    /// What all modules of this kernel start with: kpatch_5_14_0_362_8_1.
    pub fn module_stem(&self) -> String {
        format!("kpatch_{}", self.id.replace('-', "_"))
    }

    /// The module's name: kpatch_5_14_0_362_8_1_1_2. Refused where it is longer than [`MODULE_NAME_MAX`].
    pub fn module(&self, version: u32, release: u32) -> Result<String> {
        let name = format!("{}_{version}_{release}", self.module_stem());
        ensure!(
            name.len() <= MODULE_NAME_MAX,
            "module name {name} has {} characters, and the kernel takes {MODULE_NAME_MAX} at most: kernel release {} is too \
             long to be named after\n  what you can do: build the kernel with a shorter CONFIG_LOCALVERSION",
            name.len(),
            self.release
        );
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_distributions() {
        for (release, base, dist, id, deb) in [
            (
                "5.14.0-362.8.1.el9_3.x86_64",
                "5.14.0-362.8.1.el9_3",
                ".el9_3",
                "5_14_0-362_8_1",
                "kpatch-patch-5.14.0-362.8.1.el9-3.x86-64",
            ),
            ("5.14.0-70.el9.x86_64", "5.14.0-70.el9", ".el9", "5_14_0-70", "kpatch-patch-5.14.0-70.el9.x86-64"),
            (
                "6.12.0-211.16.1.el10_2.x86_64",
                "6.12.0-211.16.1.el10_2",
                ".el10_2",
                "6_12_0-211_16_1",
                "kpatch-patch-6.12.0-211.16.1.el10-2.x86-64",
            ),
            ("7.0.3-200.fc44.x86_64", "7.0.3-200.fc44", ".fc44", "7_0_3-200", "kpatch-patch-7.0.3-200.fc44.x86-64"),
            ("7.2.12+deb14-amd64", "7.2.12+deb14-amd64", "", "7_2_12_deb14-amd64", "kpatch-patch-7.2.12+deb14-amd64"),
            ("6.1.0-18-amd64", "6.1.0-18-amd64", "", "6_1_0-18-amd64", "kpatch-patch-6.1.0-18-amd64"),
            ("7.3.0-rc7", "7.3.0-rc7", "", "7_3_0-rc7", "kpatch-patch-7.3.0-rc7"),
            // No dist tags.
            ("5.0.0-1.elf", "5.0.0-1.elf", "", "5_0_0-1_elf", "kpatch-patch-5.0.0-1.elf"),
            ("5.0.0-1.el9_", "5.0.0-1.el9_", "", "5_0_0-1_el9_", "kpatch-patch-5.0.0-1.el9-"),
            ("7.3.0-Mine_2", "7.3.0-Mine_2", "", "7_3_0-Mine_2", "kpatch-patch-7.3.0-mine-2"),
        ] {
            let names = Names::new(release, Arch::X86_64).unwrap();
            assert_eq!(
                (names.release(), names.base(), names.dist(), names.id(), names.deb().as_str()),
                (release, base, dist, id, deb)
            );
        }
    }

    #[test]
    fn file_module_and_provides() {
        let names = Names::new("5.14.0-362.8.1.el9_3.ppc64le", Arch::PPC64LE).unwrap();
        assert_eq!(names.rpm(), "kpatch-patch-5_14_0-362_8_1");
        assert_eq!(names.file(1, 2), "kpatch-5_14_0-362_8_1-1-2.ko");
        assert_eq!(names.module(1, 2).unwrap(), "kpatch_5_14_0_362_8_1_1_2");
        assert_eq!(names.package_folder(), "/usr/lib/kpatch/5.14.0-362.8.1.el9_3.ppc64le");
        assert_eq!(names.rpm_provides().unwrap(), ["5.14.0-362.8.1.el9_3", "5.14.0-362.8.1.el9_3.ppc64le"]);
        let plain = Names::new("7.3.0-rc7", Arch::X86_64).unwrap();
        assert_eq!(plain.rpm_provides().unwrap(), ["7.3.0-rc7", "7.3.0-rc7.x86_64"]);
    }

    #[test]
    fn what_cannot_be_named_is_refused() {
        let error = |release: &str| Names::new(release, Arch::X86_64).unwrap_err().to_string();
        assert!(error("5.14.0-362.8.1.el9_3.ppc64le").contains("is of ppc64le, the package of x86_64"));
        for hostile in
            ["", "7.2\n", "7.2 1", "$(id)", "7.2'", "7.2\"", "7.2%{x}", "7.2/..", "7.2é", "-1", ".el9", "7.2\\"]
        {
            assert!(error(hostile).contains("kernel release"), "{hostile:?}");
        }
        let long = Names::new("5.14.0-362.8.1.a-very-long-local-version-of-mine", Arch::X86_64).unwrap();
        let refusal = long.module(1, 1).unwrap_err().to_string();
        assert!(refusal.contains("and the kernel takes 55 at most"), "{refusal}");
        let dashes = Names::new("6.1.0-18-amd64", Arch::X86_64).unwrap();
        assert!(dashes.rpm_provides().unwrap_err().to_string().contains("holds one '-' at most"));
    }
}
