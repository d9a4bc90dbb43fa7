// SPDX-License-Identifier: GPL-2.0-or-later
//! Signatures: the kernel's own sign-file and kmend-build on the same module and key, keys with a passphrase, keys on a
//! token.

use super::kernel::Kernel;
use super::tool::{collect, command, folder, put, Ran};
use super::Test;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] = &[
    ("usage", usage),
    ("key_with_a_passphrase", key_with_a_passphrase),
    ("key_on_a_token", key_on_a_token),
    ("signatures_are_verified", signatures_are_verified),
];

pub const WITH_TARGET: &[Test] = &[("signs_as_sign_file_does", signs_as_sign_file_does)];

const SECRET: &str = "a-secret-of-tests";

fn done(command: &mut Command) {
    let ran = collect(command);
    assert_eq!(ran.code, Some(0), "{command:?}: {}{}", ran.out, ran.err);
}

/// `a.key` and `a.crt` in `dir`, and `locked.key`: the same key with a passphrase.
pub fn keys(dir: &Path) {
    let mut new = Command::new("openssl");
    new.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=A signer of tests"]);
    done(new.args(["-keyout", "a.key", "-out", "a.crt"]).current_dir(dir));
    let mut lock = Command::new("openssl");
    lock.args(["pkcs8", "-topk8", "-in", "a.key", "-out", "locked.key", "-passout"]);
    done(lock.arg(format!("pass:{SECRET}")).current_dir(dir));
}

fn object(dir: &Path) -> PathBuf {
    let source = put(dir, "a.c", "int f(void) { return 1; }\n");
    let out = dir.join("module.ko");
    done(Command::new("gcc").arg("-c").arg(source).arg("-o").arg(&out));
    out
}

fn sign(dir: &Path, key: &str, more: &[&str]) -> Command {
    let mut run = command(&dir.join("cache"));
    run.current_dir(dir).env_remove("KBUILD_SIGN_PIN");
    run.args(["sign", "module.ko", "--cert", "a.crt", "-o", "signed.ko", "--key", key]).args(more);
    run
}

fn verify(dir: &Path, module: &str, cert: &str) -> Ran {
    collect(command(&dir.join("cache")).current_dir(dir).args(["inspect", module, "--verify-cert", cert]))
}

fn usage() {
    let dir = folder();
    object(dir.path());
    keys(dir.path());
    let fails = |key: &str, more: &[&str], says: &str| {
        collect(&mut sign(dir.path(), key, more)).fails(1, &[says]);
        assert!(!dir.path().join("signed.ko").exists());
    };
    fails("none.key", &[], "there is no key none.key");
    fails("a.key", &["--hash", "md5"], "md5");
    fails("locked.key", &[], "KBUILD_SIGN_PIN is not set");
    fails("pkcs11:object=a?pin-value=1", &[], "leave pin-value out");
    collect(&mut sign(dir.path(), "a.key", &["--replace"])).succeeds();
    std::fs::copy(dir.path().join("signed.ko"), dir.path().join("module.ko")).unwrap();
    std::fs::remove_file(dir.path().join("signed.ko")).unwrap();
    fails("a.key", &[], "already signed");
    collect(&mut sign(dir.path(), "a.key", &["--replace"])).succeeds();
    let of = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert_eq!(of("signed.ko"), of("module.ko"));
}

fn key_with_a_passphrase() {
    let dir = folder();
    object(dir.path());
    keys(dir.path());
    collect(sign(dir.path(), "locked.key", &[]).env("KBUILD_SIGN_PIN", "wrong")).fails(1, &["openssl cannot sign"]);
    assert!(!dir.path().join("signed.ko").exists());
    collect(sign(dir.path(), "locked.key", &[]).env("KBUILD_SIGN_PIN", SECRET)).succeeds();
    verify(dir.path(), "signed.ko", "a.crt").succeeds();
}

/// RSA signatures of one key are the same wherever the key is; and no child of kmend-build has the PIN among its words.
fn key_on_a_token() {
    let dir = folder();
    object(dir.path());
    keys(dir.path());
    let tokens = dir.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let conf = put(dir.path(), "softhsm2.conf", format!("directories.tokendir = {}\n", tokens.display()));
    let token = |args: &[&str]| {
        let mut run = Command::new("softhsm2-util");
        done(run.env("SOFTHSM2_CONF", &conf).current_dir(dir.path()).args(args));
    };
    token(&["--init-token", "--free", "--label", "tests", "--so-pin", SECRET, "--pin", SECRET]);
    token(&["--import", "a.key", "--token", "tests", "--label", "signer", "--id", "01", "--pin", SECRET]);
    let log = dir.path().join("log");
    let spy = put(
        dir.path(),
        "bin/openssl",
        format!("#!/bin/sh\necho \"$@\" >>{}\nPATH=${{PATH#*:}} exec openssl \"$@\"\n", log.display()),
    );
    std::fs::set_permissions(&spy, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.path().join("bin").display(), std::env::var("PATH").unwrap());
    let uri = "pkcs11:token=tests;object=signer;type=private";
    let with = |pin: &str| {
        let mut run = sign(dir.path(), uri, &["--hash", "sha256"]);
        run.env("SOFTHSM2_CONF", &conf).env("PKCS11_MODULE_PATH", "/usr/lib/softhsm/libsofthsm2.so");
        run.env("KBUILD_SIGN_PIN", pin).env("PATH", &path);
        collect(&mut run)
    };
    with("0000").fails(1, &["openssl cannot sign with the key pkcs11:"]);
    assert!(!dir.path().join("signed.ko").exists());
    with(SECRET).succeeds();
    verify(dir.path(), "signed.ko", "a.crt").succeeds();
    let signed = std::fs::read(dir.path().join("signed.ko")).unwrap();
    collect(&mut sign(dir.path(), "a.key", &["--hash", "sha256"])).succeeds();
    assert_eq!(signed, std::fs::read(dir.path().join("signed.ko")).unwrap());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("-sign") && log.contains(uri) && !log.contains(SECRET), "{log}");
}

fn signatures_are_verified() {
    let dir = folder();
    object(dir.path());
    keys(dir.path());
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    keys(&other);
    collect(&mut sign(dir.path(), "a.key", &[])).succeeds();
    let said = verify(dir.path(), "signed.ko", "a.crt");
    assert!(said.succeeds().out.contains("PKCS#7, sha512, by \"A signer of tests\""), "{}", said.out);
    assert!(said.out.contains("(verified)"), "{}", said.out);
    let wrong = verify(dir.path(), "signed.ko", "other/a.crt");
    wrong.fails(2, &["the signature of signed.ko could not be verified"]);
    assert!(wrong.out.contains("NOT THAT OF THE CERTIFICATE"), "{}", wrong.out);
    verify(dir.path(), "module.ko", "a.crt")
        .fails(2, &["the signature of module.ko could not be verified: it has none"]);
    verify(dir.path(), "signed.ko", "a.key").fails(1, &["is not an X.509 certificate"]);
    // A byte of .comment: still a module, no longer the one that was signed.
    let mut bytes = std::fs::read(dir.path().join("signed.ko")).unwrap();
    let at = bytes.windows(4).position(|w| w == b"GCC:").unwrap();
    bytes[at] = b'g';
    put(dir.path(), "tampered.ko", bytes);
    verify(dir.path(), "tampered.ko", "a.crt").fails(2, &["could not be verified"]);
}

/// The tree's scripts/sign-file.c, compiled with the machine's compiler, makes the same bytes.
fn signs_as_sign_file_does() {
    let kernel = Kernel::new();
    let dir = kernel.dir.path();
    object(dir);
    keys(dir);
    let scripts = kernel.target.tree.join("scripts");
    let mut compile = Command::new("gcc");
    // As scripts/Makefile says; older trees have the header's contents in the source.
    compile.arg("-w").arg("-I").arg(kernel.target.tree.join("include/uapi"));
    done(compile.arg("-o").arg(dir.join("sign-file")).arg(scripts.join("sign-file.c")).arg("-lcrypto"));
    let der = ["x509", "-in", "a.crt", "-outform", "DER", "-out", "a.der"];
    done(Command::new("openssl").args(der).current_dir(dir));
    for (hash, key_id, cert) in [("sha256", false, "a.crt"), ("sha512", false, "a.der"), ("sha512", true, "a.crt")] {
        let mut theirs = Command::new(dir.join("sign-file"));
        theirs.current_dir(dir).args(key_id.then_some("-k"));
        done(theirs.args([hash, "a.key", cert, "module.ko", "theirs.ko"]));
        let mut ours = command(&kernel.cache());
        ours.current_dir(dir).args(["sign", "module.ko", "--key", "a.key", "--cert", cert, "--hash", hash]);
        collect(ours.args(["-o", "ours.ko"]).args(key_id.then_some("--key-id"))).succeeds();
        let of = |name: &str| std::fs::read(dir.join(name)).unwrap();
        assert_eq!(of("ours.ko"), of("theirs.ko"), "{hash} {key_id} {cert}");
        verify(dir, "theirs.ko", cert).succeeds();
    }
}
