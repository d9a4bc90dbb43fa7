// SPDX-License-Identifier: GPL-2.0-or-later
//! /etc/kmend.conf: signed live patches only, by the kernel's keyring or by a certificate; with the real openssl.

use super::ko::Ko;
use super::system::{System, RELEASE};
use std::fs;
use std::path::Path;
use std::process::Command;

const ENFORCE: &str = "sys/module/module/parameters/sig_enforce";
const CONF: &str = "etc/kmend.conf";

/// Keys and certificates a and b, in a folder of root's.
fn keys(dir: &Path) {
    for name in ["a", "b"] {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj"]);
        openssl.args([&format!("/CN={name}"), "-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]);
        assert!(openssl.current_dir(dir).output().expect("openssl: `make deps` installs it").status.success());
    }
}

/// The machine's openssl in the system's PATH.
fn with_openssl(system: &System) {
    let places = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&places).map(|p| p.join("openssl")).find(|p| p.is_file()).expect("openssl");
    system.program("openssl", &format!("exec {} \"$@\"", real.display()));
}

/// As scripts/sign-file signs, or with these arguments more.
fn signed(dir: &Path, key: &str, bytes: &[u8], more: &[&str]) -> Vec<u8> {
    fs::write(dir.join("content"), bytes).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["cms", "-sign", "-binary", "-noattr", "-nocerts", "-nosmimecap", "-outform", "DER", "-md", "sha256"]);
    openssl.args(["-signer", &format!("{key}.crt"), "-inkey", &format!("{key}.key"), "-in", "content", "-out", "sig"]);
    assert!(openssl.args(more).current_dir(dir).output().unwrap().status.success());
    let signature = fs::read(dir.join("sig")).unwrap();
    let length = u32::try_from(signature.len()).unwrap().to_be_bytes();
    [bytes, &signature, &[0, 0, 2, 0, 0, 0, 0, 0], &length, b"~Module signature appended~\n"].concat()
}

#[test]
fn a_certificate_says_whose_live_patches_are_taken() {
    let system = System::new();
    let dir = tempfile::tempdir().unwrap();
    keys(dir.path());
    with_openssl(&system);
    let module = |name: &str| Ko::with_manifest(name, RELEASE, &["a fix"]).bytes();
    fs::create_dir_all(system.root().join("etc")).unwrap();
    fs::copy(dir.path().join("a.crt"), system.root().join("etc/a.pem")).unwrap();
    system.put(CONF, "live-patch-signatures = /etc/a.pem\n");
    let file = |name: &str, bytes: &[u8]| system.file(name, bytes);
    let good = file("good.ko", &signed(dir.path(), "a", &module("good"), &[]));
    let bare = file("bare.ko", &module("bare"));
    let other = file("other.ko", &signed(dir.path(), "b", &module("other"), &[]));
    let mut bytes = signed(dir.path(), "a", &module("bent"), &[]);
    let at = bytes.windows(5).position(|text| text == b"a fix").unwrap();
    bytes[at] = b'b';
    let bent = file("bent.ko", &bytes);
    // A signature that holds other content says nothing of the module before it.
    let inside = signed(dir.path(), "a", b"something else", &["-nodetach"]);
    let bytes = [&module("inside")[..], &inside[b"something else".len()..]].concat();
    let inside = file("inside.ko", &bytes);
    for verb in ["install", "load"] {
        system.kmend(&[verb, &bare]).ends(1).complains("bare.ko: appended signature: it has no signature");
        for (path, name) in [(&other, "other.ko"), (&bent, "bent.ko"), (&inside, "inside.ko")] {
            system
                .kmend(&[verb, path])
                .ends(1)
                .complains(&format!("{name}: appended signature: the key of /etc/a.pem"));
        }
    }
    assert!(system.asked().iter().all(|line| !line.contains("load")), "{:?}", system.asked());
    system.kmend(&["install", &good]).ends(0);
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), [("good".into(), true)]);
    let line =
        "signatures: kmend loads only modules that are signed with the key of /etc/a.pem; the kernel does not ask for signatures";
    system.kmend(&["status"]).says(line);
    // One that was put there by other means is named, and not loaded.
    fs::copy(&bare, system.root().join(format!("var/lib/kpatch/{RELEASE}/bare.ko"))).unwrap();
    system.kmend(&["load", "--all"]).ends(1).complains("bare.ko: appended signature");
    system.kmend(&["status"]).says("it does not fit: appended signature: it has no signature");
    let json: serde_json::Value = serde_json::from_str(&system.kmend(&["status", "--json"]).out).unwrap();
    assert_eq!(json["signatures"]["setting"], "certificate");
    assert_eq!(json["signatures"]["checked_by"], serde_json::json!(["kmend"]));
    system.kmend(&["status", "--prometheus"]).says("kmend_signatures_checked{by=\"kmend\"} 1\n");

    // In DER as well; one that is missing, is none, or is not root's is no reason to go without.
    let der = ["x509", "-in", "a.crt", "-outform", "DER", "-out", "a.der"];
    assert!(Command::new("openssl").args(der).current_dir(dir.path()).output().unwrap().status.success());
    fs::copy(dir.path().join("a.der"), system.root().join("etc/a.pem")).unwrap();
    system.kmend(&["install", &file("more.ko", &signed(dir.path(), "a", &module("more"), &[]))]).ends(0);
    system.put("etc/a.pem", "nothing");
    let cannot = "its signature cannot be checked";
    system.kmend(&["load", &good]).ends(1).complains(cannot).complains("is not an X.509 certificate");
    fs::set_permissions(system.root().join("etc/a.pem"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    system.kmend(&["load", &good]).ends(1).complains(cannot).complains("users other than root");
    fs::remove_file(system.root().join("etc/a.pem")).unwrap();
    system.kmend(&["load", &good]).ends(1).complains(cannot);
    fs::copy(dir.path().join("a.crt"), system.root().join("etc/a.pem")).unwrap();
    system.program("openssl", "exit 127");
    system.kmend(&["load", &good]).ends(1).complains("appended signature");
}

#[test]
fn the_kernels_keyring_counts_only_where_the_kernel_asks_for_it() {
    let system = System::new();
    let dir = tempfile::tempdir().unwrap();
    keys(dir.path());
    let path = system.file("own.ko", &signed(dir.path(), "a", &Ko::new("own", RELEASE).bytes(), &[]));
    let bare = system.file("bare.ko", &Ko::new("bare", RELEASE).bytes());
    system.kmend(&["status"]).says("signatures: nothing on this host checks who made a live patch\n");
    system.kmend(&["status", "--prometheus"]).says("kmend_signatures_checked{by=\"kernel\"} 0\n");
    for setting in ["kernel", "kernel-enforce"] {
        system.put(CONF, &format!("live-patch-signatures = {setting}\n"));
        // A kernel that cannot check signatures.
        system.kmend(&["load", &path]).ends(1).complains("own.ko: kernel: own would have to be signed");
        system.kmend(&["status"]).says("kmend loads nothing");
    }
    system.put(ENFORCE, "N\n");
    system.put(CONF, "live-patch-signatures = kernel\n");
    system.kmend(&["load", &path]).ends(1).complains("own.ko: kernel: ").complains("kernel-enforce");
    system.kmend(&["install", &bare]).ends(1).complains("bare.ko: appended signature: it has no signature");
    assert_eq!(system.in_force(), []);
    system.put(ENFORCE, "Y\n");
    system.kmend(&["load", &path]).ends(0);
    system
        .kmend(&["status"])
        .says("signatures: the kernel accepts only modules that are signed with a key in its keyring");
    system.kmend(&["unload", "own"]).ends(0);
    // kmend turns it on.
    system.put(ENFORCE, "N\n");
    system.put(CONF, "live-patch-signatures = kernel-enforce\n");
    system.kmend(&["status"]).says("when it loads the first one");
    system.kmend(&["load", &path]).ends(0).says("this kernel accepts only signed modules from now on");
    assert_eq!(fs::read_to_string(system.root().join(ENFORCE)).unwrap().trim(), "Y");
    system.kmend(&["load", &bare]).ends(1);
}

#[test]
fn a_setting_that_cannot_be_understood_loads_nothing() {
    let system = System::new();
    let path = system.file("own.ko", &Ko::new("own", RELEASE).bytes());
    for (text, mode, says) in [
        ("live-patch-signatures = Kernel\n", 0o644, "/etc/kmend.conf, line 1"),
        ("live-patch-signature = any\n", 0o644, "is not a setting"),
        ("live-patch-signatures = any\n", 0o666, "users other than root"),
    ] {
        system.put(CONF, text);
        fs::set_permissions(system.root().join(CONF), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        for verb in ["load", "install"] {
            system.kmend(&[verb, &path]).ends(1).complains(says);
        }
        system.kmend(&["status"]).says("kmend loads nothing until this is fixed");
        fs::remove_file(system.root().join(CONF)).unwrap();
    }
    system.put(CONF, "# nothing\n");
    system.kmend(&["load", &path]).ends(0);
}
