// SPDX-License-Identifier: GPL-2.0-or-later
//! Live patches, modules, keys to test with.

use crate::tools::{program, run};
use kmend_packager::{Arch, Dates, Entry, Line, LivePatch, Names, Origin, Severity, Version};
use object::write::Object;
use object::{Architecture, BinaryFormat, Endianness, SectionKind};
use std::path::{Path, PathBuf};

/// A kernel of RHEL 9.
pub const EL9: &str = "5.14.0-362.8.1.el9_3";
/// A kernel of Debian.
pub const DEBIAN: &str = "7.2.12+deb14-amd64";
/// 2026-09-21.
pub const DATE: i64 = 1_790_000_000;

/// Of an index that is valid for ever.
pub fn dates() -> Dates {
    Dates { date: DATE, valid_until: None }
}

pub fn origin() -> Origin {
    Origin {
        packager: "Ada Example <ada@example.com>".into(),
        vendor: "Example".into(),
        url: "https://example.com/live".into(),
        license: "GPL-2.0-only".into(),
        date: DATE,
    }
}

pub fn el9(arch: Arch) -> Names {
    Names::new(&format!("{EL9}.{}", arch.uname), arch).unwrap()
}

pub fn debian() -> Names {
    Names::new(DEBIAN, Arch::X86_64).unwrap()
}

/// The CVE that release `n` of a live patch fixes.
pub fn cve(n: u32) -> String {
    format!("CVE-2026-100{n}")
}

/// The live patch 1-`release` of `names`, with a module in `folder`; 0-0 for release 0.
pub fn live_patch(folder: &Path, names: &Names, release: u32) -> LivePatch {
    let version = if release == 0 { Version::EMPTY } else { Version { version: 1, release } };
    let entry = |n: u32| Entry {
        date: DATE - 86_400 * i64::from(10 - n),
        packager: "Ada Example <ada@example.com>".into(),
        version: Version { version: 1, release: n },
        severity: Some(Severity::Important),
        lines: vec![Line {
            text: format!("net: fix number {n}"),
            tickets: vec![format!("RHEL-{n}")],
            cves: vec![cve(n)],
            ..Line::default()
        }],
    };
    let empty = Entry {
        version: Version::EMPTY,
        severity: None,
        lines: vec![Line { text: "Initial empty live patch".into(), ..Line::default() }],
        ..entry(0)
    };
    LivePatch {
        names: names.clone(),
        version,
        dist: names.dist().into(),
        module: (release != 0).then(|| module(folder, names, version)),
        changelog: (1..=release).rev().map(entry).chain([empty]).collect(),
        origin: origin(),
    }
}

/// A file that says of itself what a module does; `names` and `version` may be those of another.
pub fn module(folder: &Path, names: &Names, version: Version) -> PathBuf {
    let arch = match names.arch() {
        Arch::X86_64 => Architecture::X86_64,
        _ => Architecture::PowerPc64,
    };
    let mut file = Object::new(BinaryFormat::Elf, arch, Endianness::Little);
    let section = file.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::ReadOnlyData);
    let name = names.module(version.version, version.release).unwrap();
    let info = format!("license=GPL\0livepatch=Y\0name={name}\0vermagic={} SMP preempt mod_unload \0", names.release());
    file.append_section_data(section, info.as_bytes(), 1);
    let path = folder.join(format!("{name}-{}.ko", names.arch().uname));
    std::fs::write(&path, file.write().unwrap()).unwrap();
    path
}

/// A key as gpg makes it: the secret one, and the public one. RSA, without a passphrase.
pub fn key(folder: &Path) -> (PathBuf, PathBuf) {
    key_of(folder, "rsa2048", "")
}

/// The same of another kind, and with a passphrase.
pub fn key_of(folder: &Path, kind: &str, passphrase: &str) -> (PathBuf, PathBuf) {
    // gpg's sockets have short paths.
    let home = tempfile::Builder::new().prefix("k").tempdir_in("/tmp").unwrap();
    let gpg = |args: &[&str]| {
        let mut command = program("gpg");
        command.args([
            "--batch",
            "--yes",
            "--quiet",
            "--faked-system-time",
            "20200101T000000",
            "--passphrase",
            passphrase,
        ]);
        run(command.args(["--pinentry-mode", "loopback", "--homedir"]).arg(home.path()).args(args)).ok()
    };
    gpg(&["--quick-generate-key", "Ada Example <ada@example.com>", kind, "sign", "never"]);
    let (secret, public) = (folder.join("secret.asc"), folder.join("public.asc"));
    gpg(&["--armor", "--output", secret.to_str().unwrap(), "--export-secret-keys"]);
    gpg(&["--armor", "--output", public.to_str().unwrap(), "--export"]);
    run(program("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"])).ok();
    (secret, public)
}
