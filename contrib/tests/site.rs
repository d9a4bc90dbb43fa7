// SPDX-License-Identifier: GPL-2.0-or-later
//! A repository for apt and one for dnf: kmend itself, kernels, and the versions of a live patch that are released.

use crate::ko::Ko;
use kmend_packager::{debian, redhat, Arch, Dates, Entry, HostTool, Line, LivePatch, Names, Origin, Version};
use rpm::{Dependency, PackageBuilder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// 2026-09-21.
const DATE: i64 = 1_790_000_000;

/// Which package manager a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Apt,
    Dnf,
}

impl Family {
    /// The kernel of its hosts.
    pub fn kernel(self) -> Names {
        let release = match self {
            Self::Apt => "7.2.12+deb14-amd64",
            Self::Dnf => "5.14.0-362.8.1.el9_3.x86_64",
        };
        Names::new(release, Arch::X86_64).unwrap()
    }

    /// The module of a version.
    pub fn module(self, release: u32) -> String {
        self.kernel().module(1, release).unwrap()
    }
}

fn origin() -> Origin {
    Origin {
        packager: "Ada Example <ada@example.com>".into(),
        vendor: "Example".into(),
        url: "https://example.com/live".into(),
        license: "GPL-2.0-only".into(),
        date: DATE,
    }
}

/// The repositories.
pub struct Site {
    folder: PathBuf,
}

/// Runs a command, which has to succeed.
pub fn run(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(out.status.success(), "{command:?}: {}\n{text}", out.status);
    text
}

impl Site {
    /// Both in `folder`, with kmend and the kernels.
    pub fn new(folder: &Path) -> Self {
        let site = Self { folder: folder.to_path_buf() };
        ["apt", "dnf"].iter().for_each(|name| fs::create_dir_all(folder.join(name)).unwrap());
        let tool = HostTool {
            version: "0.1.0".into(),
            release: 1,
            dist: String::new(),
            binary: crate::program(),
            unit: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manager/kpatch.service"),
            share: None,
            origin: origin(),
        };
        debian::host_tool(&tool).unwrap().write(&site.at(Family::Apt)).unwrap();
        let rpm = redhat::host_tool(&tool, None).unwrap().write(&site.at(Family::Dnf)).unwrap();
        let requires = run(Command::new("rpm").args(["-qp", "--requires"]).arg(rpm));
        let libraries: Vec<&str> = requires.lines().filter(|line| line.contains("(64bit)")).collect();
        site.rpm("glibc", &libraries);
        site.rpm("systemd", &[]);
        site.rpm("bash", &["/bin/sh"]);
        let kernel = Family::Dnf.kernel();
        site.rpm("kernel-core", &["installonlypkg(kernel)", &format!("kernel-uname-r = {}", kernel.release())]);
        site.deb(&format!("linux-image-{}", Family::Apt.kernel().release()));
        site
    }

    /// Where one is.
    pub fn at(&self, family: Family) -> PathBuf {
        self.folder.join(match family {
            Family::Apt => "apt",
            Family::Dnf => "dnf",
        })
    }

    fn rpm(&self, name: &str, provides: &[&str]) {
        let mut package = PackageBuilder::new(name, "1", "MIT", "x86_64", "stands in");
        package.release("1");
        for provided in provides {
            package.provides(match provided.split_once(" = ") {
                Some((name, version)) => Dependency::eq(name, version),
                None => Dependency::any(*provided),
            });
        }
        let file = self.at(Family::Dnf).join(format!("{name}-1-1.x86_64.rpm"));
        package.build().unwrap().write_file(file).unwrap();
    }

    fn deb(&self, name: &str) {
        let folder = self.folder.join(name);
        fs::create_dir_all(folder.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: A <a@example.com>\nDescription: stands in\n"
        );
        fs::write(folder.join("DEBIAN/control"), control).unwrap();
        let mut build = Command::new("dpkg-deb");
        run(build
            .args(["--root-owner-group", "--build"])
            .arg(&folder)
            .arg(self.at(Family::Apt).join(format!("{name}.deb"))));
    }

    /// Releases version 1-`release`.
    pub fn release(&self, release: u32) {
        for family in [Family::Apt, Family::Dnf] {
            let (names, module) = (family.kernel(), family.module(release));
            let path = self.folder.join(format!("{module}.ko"));
            let title = format!("fix of 1-{release}");
            fs::write(&path, Ko::with_manifest(&module, names.release(), &[&title]).bytes()).unwrap();
            let patch = LivePatch {
                names: names.clone(),
                version: Version { version: 1, release },
                dist: names.dist().into(),
                module: Some(path),
                changelog: (1..=release).rev().map(entry).collect(),
                origin: origin(),
            };
            let built = match family {
                Family::Apt => debian::live_patch(&patch),
                Family::Dnf => redhat::live_patch(&patch, None),
            };
            built.unwrap().write(&self.at(family)).unwrap();
        }
        let meta = redhat::Metapackage {
            version: release,
            release: 1,
            dist: String::new(),
            patches: vec![(Family::Dnf.kernel(), Version { version: 1, release })],
            origin: origin(),
        };
        redhat::metapackage(&meta, None).unwrap().write(&self.at(Family::Dnf)).unwrap();
        let dates = Dates { date: DATE + i64::from(release), valid_until: None };
        redhat::repository(&self.at(Family::Dnf), &[], dates, None).unwrap();
        let suite = debian::Suite { stream: "test".into(), vendor: "Example".into(), dates };
        debian::repository(&self.at(Family::Apt), &suite, None).unwrap();
    }
}

fn entry(release: u32) -> Entry {
    Entry {
        date: DATE + i64::from(release) - 10,
        packager: "Ada Example <ada@example.com>".into(),
        version: Version { version: 1, release },
        severity: None,
        lines: vec![Line { text: format!("fix of 1-{release}"), ..Line::default() }],
    }
}
