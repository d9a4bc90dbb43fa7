// SPDX-License-Identifier: GPL-2.0-or-later
//! The RPM as rpm reads it.

use crate::samples::{self, el9, live_patch};
use crate::tools::{program, rpm_query, run};
use kmend_packager::{redhat, Arch, Key, Version};

#[test]
fn a_live_patch_is_what_rhel_has() {
    let dir = tempfile::tempdir().unwrap();
    for arch in [Arch::X86_64, Arch::PPC64LE] {
        let patch = live_patch(dir.path(), &el9(arch), 2);
        let path = redhat::live_patch(&patch, None).unwrap().write(dir.path()).unwrap();
        let name = format!("kpatch-patch-5_14_0-362_8_1-1-2.el9_3.{}", arch.uname);
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), format!("{name}.rpm"));
        assert_eq!(rpm_query(&path, &[]).trim(), name);
        let provides = rpm_query(&path, &["--provides"]);
        let requires = rpm_query(&path, &["--requires"]);
        for line in
            ["kpatch-patch = 5.14.0-362.8.1.el9_3", &format!("kpatch-patch = 5.14.0-362.8.1.el9_3.{}", arch.uname)]
        {
            assert!(provides.lines().any(|l| l == line), "{provides}");
        }
        let kernel = format!("kernel-uname-r = 5.14.0-362.8.1.el9_3.{}", arch.uname);
        for line in ["kpatch >= 0.6.1-1", &kernel, "systemd", "/bin/sh"] {
            assert!(requires.lines().any(|l| l == line), "{requires}");
        }
        assert_eq!(rpm_query(&path, &["--conflicts"]).trim(), "kpatch-patch-5_14_0-362_8_1 < 1-2.el9_3");
        let listed = rpm_query(&path, &["-lv"]);
        let file = format!("/usr/lib/kpatch/5.14.0-362.8.1.el9_3.{}/kpatch-5_14_0-362_8_1-1-2.ko", arch.uname);
        assert!(listed.lines().any(|l| l.starts_with("-rwxr-xr-x") && l.ends_with(&file)), "{listed}");
    }
}

#[test]
fn changelog_and_scripts_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let patch = live_patch(dir.path(), &el9(Arch::X86_64), 2);
    let path = redhat::live_patch(&patch, None).unwrap().write(dir.path()).unwrap();
    let changelog = rpm_query(&path, &["--changelog"]);
    let expected =
        "* Sun Sep 13 2026 Ada Example <ada@example.com> [1-2.el9_3]\n- net: fix number 2 [RHEL-2] {CVE-2026-1002}\n";
    assert!(changelog.starts_with(expected), "{changelog}");
    assert!(changelog.contains("- net: fix number 1 [RHEL-1] {CVE-2026-1001}\n"), "{changelog}");
    let scripts = rpm_query(&path, &["--scripts"]);
    assert!(
        scripts.contains("postinstall scriptlet (using /bin/sh):\nkernel='5.14.0-362.8.1.el9_3.x86_64'\n"),
        "{scripts}"
    );
    assert!(scripts.contains("postuninstall scriptlet (using /bin/sh):\n"), "{scripts}");
    assert!(!scripts.contains('@'), "a place for a name was left over: {scripts}");
    assert_eq!(scripts.matches("\nexit 0\n").count(), 2, "{scripts}");
}

#[test]
fn the_empty_package_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let patch = live_patch(dir.path(), &el9(Arch::X86_64), 0);
    let path = redhat::live_patch(&patch, None).unwrap().write(dir.path()).unwrap();
    assert_eq!(rpm_query(&path, &[]).trim(), "kpatch-patch-5_14_0-362_8_1-0-0.el9_3.x86_64");
    assert_eq!(rpm_query(&path, &["-l"]).trim(), "(contains no files)");
    assert_eq!(rpm_query(&path, &["--scripts"]), "");
    let requires = rpm_query(&path, &["--requires"]);
    assert!(!requires.contains("systemd") && !requires.contains("/bin/sh"), "{requires}");
    assert_eq!(
        rpm_query(&path, &["--queryformat", "%{SUMMARY}"]),
        "Initial empty kpatch-patch for kernel-5.14.0-362.8.1.el9_3.x86_64"
    );
}

#[test]
fn same_input_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let patch = live_patch(dir.path(), &el9(Arch::X86_64), 2);
    let first = redhat::live_patch(&patch, None).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(first == redhat::live_patch(&patch, None).unwrap());
}

#[test]
fn signatures_are_checked_by_rpm() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, public) = samples::key(dir.path());
    let key = Key::read(&secret).unwrap();
    let patch = live_patch(dir.path(), &el9(Arch::X86_64), 1);
    let signed = redhat::live_patch(&patch, Some(&key)).unwrap();
    assert!(signed == redhat::live_patch(&patch, Some(&key)).unwrap(), "RSA signs alike each time");
    let path = signed.write(dir.path()).unwrap();
    let db = dir.path().join("db");
    let rpm = || {
        let mut command = program("rpm");
        command.arg("--dbpath").arg(&db);
        command
    };
    run(rpm().arg("--initdb")).ok();
    let unknown = run(rpm().arg("-K").arg(&path)).refused();
    assert!(unknown.contains("SIGNATURES NOT OK"), "{unknown}");
    run(rpm().arg("--import").arg(&public)).ok();
    let known = run(rpm().arg("-Kv").arg(&path)).ok();
    assert!(known.contains("RSA/SHA256 Signature") && known.contains(": OK"), "{known}");
    let mut broken = signed.bytes.clone();
    let last = broken.len() - 20;
    broken[last] ^= 1;
    std::fs::write(&path, broken).unwrap();
    let broken = run(rpm().arg("-K").arg(&path)).refused();
    assert!(broken.contains("NOT OK"), "{broken}");
}

#[test]
fn a_key_that_cannot_sign_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let error = |path: &std::path::Path| format!("{:#}", Key::read(path).err().unwrap());
    assert!(error(&path).contains("cannot read"), "{}", error(&path));
    std::fs::write(&path, "no key").unwrap();
    assert!(error(&path).contains("holds no OpenPGP secret key"), "{}", error(&path));
    let (_, public) = samples::key(dir.path());
    assert!(error(&public).contains("holds no OpenPGP secret key"), "{}", error(&public));
    let (locked, _) = samples::key_of(dir.path(), "ed25519", "secret");
    assert!(error(&locked).contains("is locked by a passphrase"), "{}", error(&locked));
}

#[test]
fn a_module_of_another_kernel_or_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let names = el9(Arch::X86_64);
    let mut patch = live_patch(dir.path(), &names, 2);
    let mut refused = |module| {
        patch.module = Some(module);
        format!("{:#}", redhat::live_patch(&patch, None).unwrap_err())
    };
    let error = refused(samples::module(dir.path(), &samples::debian(), patch_version(2)));
    assert!(error.contains("is built for kernel 7.2.12+deb14-amd64, the package is for"), "{error}");
    let error = refused(samples::module(dir.path(), &names, patch_version(3)));
    assert!(error.contains("it has to be kpatch_5_14_0_362_8_1_1_2"), "{error}");
    let error = refused(samples::module(dir.path(), &el9(Arch::PPC64LE), patch_version(2)));
    assert!(error.contains("is of ppc64le, the package of x86_64"), "{error}");
    let text = dir.path().join("text");
    std::fs::write(&text, "no module").unwrap();
    assert!(refused(text).contains("is no 64-bit ELF file"));
}

fn patch_version(release: u32) -> Version {
    Version { version: 1, release }
}
