// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend install and uninstall.

use super::ko::Ko;
use super::system::{file, name, System, RELEASE};
use std::fs;

fn package(system: &System, version: &str) -> String {
    system.file(&file(version), &Ko::with_manifest(&name(version), RELEASE, &["a fix"]).bytes())
}

#[test]
fn a_file_is_installed_once_and_the_service_with_it() {
    let system = System::new();
    let path = package(&system, "1-1");
    let said = system.kmend(&["install", &path]).ends(0);
    assert_eq!((said.out, said.err), (format!("installing {path} ({RELEASE})\n"), String::new()));
    let there = system.folder(RELEASE).join(file("1-1"));
    assert_eq!(fs::read(&there).unwrap(), fs::read(&path).unwrap());
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&there).unwrap().permissions()) & 0o777, 0o644);
    let names: Vec<_> = fs::read_dir(system.folder(RELEASE)).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(names, [file("1-1").as_str()]);
    let log = fs::read_to_string(system.root().join("systemctl.log")).unwrap();
    assert_eq!(log, format!("--root {} enable --quiet kpatch.service\n", system.root().display()));
    // Again: the same content is no error, other content is, and stays out.
    system.kmend(&["install", &path]).ends(0).says("is already installed");
    fs::write(&path, Ko::with_manifest(&name("1-1"), RELEASE, &["another fix"]).bytes()).unwrap();
    system.kmend(&["install", &path]).ends(1).complains("already installed, with other content");
    assert_ne!(fs::read(&there).unwrap(), fs::read(&path).unwrap());
    assert!(system.asked().is_empty(), "install loads nothing");
}

#[test]
fn another_kernel_is_named_by_k() {
    let system = System::new();
    let other = "5.14.0-427.13.1.el9_4.x86_64";
    let path = system.file("kpatch-a.ko", &Ko::with_manifest("kpatch_a", other, &[]).bytes());
    system
        .kmend(&["install", &path])
        .ends(1)
        .complains(&format!("it is for {other}, it is to be installed for {RELEASE}"));
    assert!(!system.folder(RELEASE).exists());
    system.kmend(&["install", "-k", other, &path]).ends(0);
    assert!(system.folder(other).join("kpatch-a.ko").exists());
    system.kmend(&["list"]).says(&format!("kpatch_a ({other})\n"));
    system.kmend(&["uninstall", &format!("--kernel-version={other}"), "kpatch_a"]).ends(0);
    assert!(!system.folder(other).exists(), "an empty folder goes away");
    system.kmend(&["install", "-k", "../evil", &path]).ends(1).complains("../evil");
}

#[test]
fn what_is_unfit_is_not_installed() {
    let system = System::new();
    let good = Ko::with_manifest("kpatch_a", RELEASE, &[]).bytes();
    for (name, bytes, expected) in [
        ("cut.ko", &good[..good.len() / 2], "cut.ko: ELF header: the section table lies beyond the end"),
        ("text.ko", &b"no module"[..], "text.ko: ELF header: it does not begin like an ELF file"),
        ("empty.ko", &b""[..], "the file is empty"),
        ("x.txt", &good[..], "isn't a .ko file"),
    ] {
        let path = system.file(name, bytes);
        system.kmend(&["install", &path]).ends(1).complains(expected);
    }
    system.kmend(&["install", "nothing.ko"]).ends(1).complains("nothing.ko doesn't exist");
    assert!(!system.folder(RELEASE).exists());
}

#[test]
fn another_build_of_the_running_release_is_a_warning() {
    let system = System::new();
    let mut ko = Ko::with_manifest("kpatch_a", RELEASE, &[]);
    ko.manifest = ko.manifest.map(|m| m.replace("abcd0102", "99"));
    let path = system.file("kpatch-a.ko", &ko.bytes());
    system.kmend(&["install", &path]).ends(0).complains("it will not load into the kernel that runs now");
    system.kmend(&["load", "--all"]).ends(1).complains("proven against the kernel with build id 99");
    assert!(system.asked().is_empty());
}

#[test]
fn uninstall_takes_names_and_no_paths() {
    let system = System::new();
    for args in [&[][..], &["-k", RELEASE][..]] {
        for module in [file("1-1"), name("1-1"), "kpatch-5_14_0-362_8_1-1-1".to_string()] {
            system.version("1-1");
            let args = [&["uninstall"], args, &[module.as_str()]].concat();
            system.kmend(&args).ends(0).says(&format!("uninstalling {module} ({RELEASE})\n"));
            assert!(!system.folder(RELEASE).exists());
        }
    }
    system
        .kmend(&["uninstall", "kpatch_a"])
        .ends(1)
        .complains(&format!("kpatch_a is not installed for kernel {RELEASE}"));
    system.kmend(&["uninstall", "../kpatch_a"]).ends(1).complains("please supply patch module name without path");
    // What is loaded stays so.
    system.version("1-1");
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["uninstall", &name("1-1")]).ends(0);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}

#[test]
fn a_failing_systemctl_is_told_and_no_more() {
    let system = System::new();
    fs::write(system.root().join("bin/systemctl"), "#!/bin/sh\necho 'Unit kpatch.service not found.' >&2\nexit 1\n")
        .unwrap();
    let path = package(&system, "1-1");
    system.kmend(&["install", &path]).ends(0).complains("could not be enabled (Unit kpatch.service not found.)");
    // A host without systemd.
    fs::remove_file(system.root().join("bin/systemctl")).unwrap();
    let path = package(&system, "1-2");
    system.kmend(&["install", &path]).ends(0).complains("this host has no systemctl");
}

#[test]
fn a_compressed_module_is_named_as_that() {
    let system = System::new();
    let heads: [(&str, &[u8]); 3] =
        [("xz", b"\xfd7zXZ\0\0\x04"), ("gzip", b"\x1f\x8b\x08\0"), ("zstd", b"\x28\xb5\x2f\xfd\x04")];
    for (program, bytes) in heads {
        let path = system.file("a.ko", bytes);
        for verb in ["install", "load"] {
            let said = system.kmend(&[verb, &path]).ends(1).complains(&format!("it is compressed ({program})"));
            said.complains(&format!("`{program} -dc a.ko >a-unpacked.ko`"));
        }
    }
    for (name, program) in [("b.ko.xz", "xz"), ("b.ko.gz", "gzip"), ("b.ko.zst", "zstd")] {
        let path = system.file(name, b"any");
        for verb in ["install", "load", "info"] {
            system.kmend(&[verb, &path]).ends(1).complains(&format!("it is compressed ({program})"));
        }
        system.installed(name, b"any");
        system.kmend(&["load", "--all"]).ends(0).complains(&format!("/{name} is compressed and is not loaded"));
    }
    assert!(system.asked().is_empty());
}
