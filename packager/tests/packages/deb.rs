// SPDX-License-Identifier: GPL-2.0-or-later
//! The deb as dpkg reads and installs it.

use crate::samples::{self, debian, live_patch, DEBIAN};
use crate::system::{Root, KPATCH};
use crate::tools::{as_root, program, run, Said};
use kmend_packager::{debian as deb, Arch, Names};
use std::fs;
use std::path::{Path, PathBuf};

const NAME: &str = "kpatch-patch-7.2.12+deb14-amd64";
const FILE: &str = "kpatch-7_2_12_deb14-amd64";

/// A host with a package database, a kernel and kpatch.
pub struct Host {
    pub dir: tempfile::TempDir,
    pub root: Root,
}

impl Host {
    pub fn new() -> Host {
        let host = Host { dir: tempfile::tempdir().unwrap(), root: Root::new(DEBIAN) };
        for folder in ["info", "updates"] {
            fs::create_dir_all(host.root.at("var/lib/dpkg").join(folder)).unwrap();
        }
        host.root.write("var/lib/dpkg/status", "");
        host.stand_in(&format!("linux-image-{DEBIAN}"), "7.2.12-1", "");
        host.root.program("usr/sbin/kpatch", KPATCH);
        host.stand_in("kpatch", "0.9.11-1", "");
        host
    }

    /// Installs a package of the distribution, made by dpkg-deb; `fields` are further lines of its control file.
    pub fn stand_in(&self, name: &str, version: &str, fields: &str) {
        let folder = self.dir.path().join(name);
        fs::create_dir_all(folder.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: A <a@example.com>\n{fields}Description: stands in\n"
        );
        fs::write(folder.join("DEBIAN/control"), control).unwrap();
        let file = self.dir.path().join(format!("{name}.deb"));
        run(program("dpkg-deb").args(["--root-owner-group", "--build"]).arg(folder).arg(&file)).ok();
        self.dpkg("-i", file.to_str().unwrap()).ok();
    }

    /// `dpkg --install`, `--remove` and so on of one file or package.
    pub fn dpkg(&self, verb: &str, what: &str) -> Said {
        let mut root = std::ffi::OsString::from("--root=");
        root.push(self.root.path());
        run(as_root("dpkg").arg(root).args(["--force-architecture", verb, what]))
    }

    /// The version that is installed.
    pub fn version(&self, package: &str) -> String {
        let said = self.dpkg("-s", package).text;
        let line = said.lines().find_map(|line| line.strip_prefix("Version: "));
        if said.contains("Status: install ok installed") {
            line.unwrap_or_default().into()
        } else {
            String::new()
        }
    }

    fn live_patch(&self, release: u32) -> PathBuf {
        let patch = live_patch(self.dir.path(), &debian(), release);
        deb::live_patch(&patch).unwrap().write(self.dir.path()).unwrap()
    }

    fn install(&self, file: &Path) -> String {
        self.dpkg("-i", file.to_str().unwrap()).ok()
    }
}

#[test]
fn dpkg_deb_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let patch = live_patch(dir.path(), &debian(), 2);
    let path = deb::live_patch(&patch).unwrap().write(dir.path()).unwrap();
    assert_eq!(path.file_name().unwrap(), "kpatch-patch-7.2.12+deb14-amd64_1-2_amd64.deb");
    let said = run(program("dpkg-deb").arg("-f").arg(&path)).ok();
    let expected = "Package: kpatch-patch-7.2.12+deb14-amd64\n\
        Version: 1-2\n\
        Architecture: amd64\n\
        Maintainer: Ada Example <ada@example.com>\n\
        Section: kernel\n\
        Priority: optional\n\
        Homepage: https://example.com/live\n\
        Depends: kmend | kpatch, linux-image-7.2.12+deb14-amd64 | linux-image-7.2.12+deb14-amd64-unsigned\n\
        Provides: kpatch-patch\n\
        Kmend-Cves: CVE-2026-1001 CVE-2026-1002\n\
        Description: Live patch for kernel-7.2.12+deb14-amd64\n \
        A cumulative live patch: it fixes the running kernel without a reboot. The changelog says what it fixes.\n";
    assert_eq!(said, expected);
    let listed = run(program("dpkg-deb").arg("-c").arg(&path)).ok();
    let file = format!("usr/lib/kpatch/{DEBIAN}/{FILE}-1-2.ko");
    assert!(listed.lines().any(|l| l.starts_with("-rwxr-xr-x root/root") && l.ends_with(&file)), "{listed}");
    let info = run(program("dpkg-deb").arg("-I").arg(&path)).ok();
    for script in ["postinst", "prerm", "postrm", "md5sums"] {
        assert!(info.contains(script), "{info}");
    }
}

#[test]
fn the_empty_deb_has_no_scripts_and_ppc64el_has_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let names = Names::new("7.2.12+deb14-powerpc64le", Arch::PPC64LE).unwrap();
    let path = deb::live_patch(&live_patch(dir.path(), &names, 0)).unwrap().write(dir.path()).unwrap();
    assert_eq!(path.file_name().unwrap(), "kpatch-patch-7.2.12+deb14-powerpc64le_0-0_ppc64el.deb");
    let info = run(program("dpkg-deb").arg("-I").arg(&path)).ok();
    assert!(!info.contains("postinst") && info.contains("Architecture: ppc64el"), "{info}");
    let listed = run(program("dpkg-deb").arg("-c").arg(&path)).ok();
    assert!(!listed.contains("kpatch/7"), "{listed}");
}

#[test]
fn same_input_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let patch = live_patch(dir.path(), &debian(), 2);
    let first = deb::live_patch(&patch).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(first == deb::live_patch(&patch).unwrap());
}

#[test]
fn dpkg_installs_updates_and_removes_it() {
    let host = Host::new();
    host.install(&host.live_patch(0));
    assert_eq!((host.version(NAME).as_str(), host.root.calls().len()), ("0-0", 0));
    let copy = |release: u32| format!("/var/lib/kpatch/{DEBIAN}/{FILE}-1-{release}.ko");
    let calls = |release: u32| {
        vec![
            format!("install -k {DEBIAN} /usr/lib/kpatch/{DEBIAN}/{FILE}-1-{release}.ko"),
            format!("chcon -t modules_object_t {}", copy(release)),
            "list".into(),
            format!("load {}", copy(release)),
        ]
    };
    host.install(&host.live_patch(1));
    assert_eq!(host.root.calls(), calls(1));
    host.root.write("etc/loaded", "Loaded patch modules:\nkpatch_7_2_12_deb14_amd64_1_1 [enabled]\n");
    host.install(&host.live_patch(2));
    let mut expected = calls(2);
    expected.push(format!("uninstall -k {DEBIAN} {FILE}-1-1.ko"));
    assert_eq!(host.root.calls(), expected);
    assert_eq!(host.root.installed(DEBIAN), [format!("{FILE}-1-2.ko")]);
    let said = run(as_root("dpkg").arg(format!("--root={}", host.root.path().display())).args(["-V", NAME])).ok();
    assert_eq!(said, "", "what is installed is what the package has");

    host.root.write("etc/loaded", "Loaded patch modules:\nkpatch_7_2_12_deb14_amd64_1_2 [enabled]\n");
    let said = host.install(&host.live_patch(1));
    assert!(said.contains("WARNING: You will have to reboot to load a downgraded kpatch-patch"), "{said}");
    assert_eq!(host.root.installed(DEBIAN), [format!("{FILE}-1-1.ko")]);
    assert!(!host.root.calls().iter().any(|call| call.starts_with("load")));

    host.install(&host.live_patch(0));
    assert_eq!(host.root.installed(DEBIAN), [""; 0], "the empty package takes the live patch away");
    host.install(&host.live_patch(2));
    host.root.calls();
    host.dpkg("-r", NAME).ok();
    assert_eq!(host.root.calls(), [format!("uninstall -k {DEBIAN} {FILE}-1-2.ko")]);
    host.dpkg("-P", NAME).ok();
    assert_eq!((host.version(NAME).as_str(), host.root.installed(DEBIAN).len()), ("", 0));
}

#[test]
fn versions_are_compared_as_numbers() {
    let host = Host::new();
    let stem = "kpatch_7_2_12_deb14_amd64";
    for (loaded, release, warns) in [
        (format!("{stem}_1_10 [enabled]"), 9, true),
        (format!("{stem}_2_1 [enabling...]"), 9, true),
        (format!("{stem}_1_9 [enabled]"), 10, false),
        (format!("{stem}_1_9 [enabled]"), 9, false),
        (format!("{stem}_1_10 [disabled]"), 9, false),
        (format!("{stem}_4_1_10 [enabled]"), 9, false),
        ("kpatch_other_1_10 [enabled]".into(), 9, false),
        (format!("{stem}_1_x [enabled]"), 9, false),
    ] {
        host.root.write("etc/loaded", &format!("Loaded patch modules:\n{loaded}\n"));
        host.root.calls();
        let said = host.install(&host.live_patch(release));
        assert_eq!(said.contains("You will have to reboot"), warns, "{loaded}: {said}");
        assert_eq!(host.root.calls().iter().any(|call| call.starts_with("load")), !warns, "{loaded}");
        host.dpkg("-P", NAME).ok();
    }
}

#[test]
fn without_the_kernel_or_with_a_kpatch_that_fails() {
    let host = Host::new();
    for verb in ["install", "load"] {
        host.root.write("etc/kpatch-fails", verb);
        let said = host.install(&host.live_patch(1));
        assert!(said.contains("WARNING: kpatch-7_2_12_deb14-amd64-1-1.ko could not be"), "{said}");
        host.dpkg("-P", NAME).ok();
    }
    host.dpkg("-P", &format!("linux-image-{DEBIAN}")).ok();
    let said = host.dpkg("-i", host.live_patch(1).to_str().unwrap()).refused();
    assert!(said.contains(&format!("linux-image-{DEBIAN}")), "{said}");
}

#[test]
fn a_module_of_another_kernel_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut patch = live_patch(dir.path(), &debian(), 1);
    patch.module = Some(samples::module(dir.path(), &samples::el9(Arch::X86_64), patch.version));
    let error = format!("{:#}", deb::live_patch(&patch).unwrap_err());
    assert!(error.contains("is built for kernel 5.14.0-362.8.1.el9_3.x86_64"), "{error}");
}

#[test]
fn containers_and_chroots_load_nothing() {
    let host = Host::new();
    let loads = || {
        run(as_root("dpkg").arg(format!("--root={}", host.root.path().display())).args(["-P", NAME])).ok();
        host.root.calls();
        host.install(&host.live_patch(1));
        let calls = host.root.calls();
        assert!(calls[0].starts_with("install -k"), "{calls:?}");
        calls.iter().any(|call| call.starts_with("load "))
    };
    host.install(&host.live_patch(1));
    assert!(loads());
    for mark in [".dockerenv", "run/.containerenv"] {
        fs::create_dir_all(host.root.at("run")).unwrap();
        host.root.write(mark, "");
        assert!(!loads(), "{mark}");
        fs::remove_file(host.root.at(mark)).unwrap();
    }
    host.root.write("proc/1/environ", "HOME=/\0container=lxc\0");
    assert!(!loads());
    host.root.write("proc/1/environ", "HOME=/\0my_container=x\0");
    assert!(loads());
    for (answer, expected) in [("[ \"$2\" = --container ]", false), ("false", true)] {
        host.root.program("bin/systemd-detect-virt", &format!("#!/bin/sh\n{answer}\n"));
        assert_eq!(loads(), expected);
    }
    // A chroot: the first process has another root, or there is no /proc at all.
    fs::remove_file(host.root.at("proc/1/root")).unwrap();
    std::os::unix::fs::symlink("/etc", host.root.at("proc/1/root")).unwrap();
    assert!(!loads());
    fs::remove_dir_all(host.root.at("proc")).unwrap();
    assert!(!loads());
}

#[test]
fn without_room_for_the_copy_the_package_s_file_is_loaded() {
    let host = Host::new();
    host.root.write("etc/kpatch-fails", "install");
    host.install(&host.live_patch(1));
    let calls = host.root.calls();
    assert_eq!(calls.last().unwrap(), &format!("load /usr/lib/kpatch/{DEBIAN}/{FILE}-1-1.ko"), "{calls:?}");
}
