// SPDX-License-Identifier: GPL-2.0-or-later
//! Real keys, the real openssl; tests/cli compares with the kernel's own sign-file.

use super::*;
use crate::elf::read::Take;
use crate::error::Ending;
use std::process::Command;

/// A folder with `NAME.key` (PEM, without a passphrase) and `NAME.crt`.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let mut command = Command::new("openssl");
            command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj"]);
            command.args([&format!("/CN={name}"), "-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]);
            let ran = command.current_dir(dir.path()).output().expect("openssl");
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        }
        Self(dir)
    }

    fn cert(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.crt"))
    }

    fn signer(&self, name: &str, hash: Hash, by_key_id: bool) -> Signer {
        let key = self.0.path().join(format!("{name}.key")).display().to_string();
        Signer { key, cert: self.cert(name), hash, by_key_id }
    }
}

/// The smallest relocatable object that the reader takes.
fn module() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("a.c");
    std::fs::write(&source, "int f(void) { return 1; }\n").unwrap();
    let out = dir.path().join("a.o");
    assert!(Command::new("gcc").arg("-c").arg(&source).arg("-o").arg(&out).status().expect("gcc").success());
    let ko = std::fs::read(out).unwrap();
    read(&ko, Take::NoDebug).unwrap();
    ko
}

fn not_verified(ko: &[u8], cert: &Path) -> String {
    let error = verify(ko, "it", cert).unwrap_err();
    assert_eq!(Ending::of(&error), Ending::Refused, "{error:#}");
    error.to_string().replace("the signature of it could not be verified: ", "")
}

#[test]
fn signs_and_verifies() {
    let (keys, ko) = (Keys::new(&["a", "b"]), module());
    for (hash, by_key_id) in [(Hash::Sha256, false), (Hash::Sha512, true)] {
        let signed = keys.signer("a", hash, by_key_id).sign(&ko, false).unwrap();
        assert!(signed.starts_with(&ko) && signed.ends_with(MAGIC));
        verify(&signed, "it", &keys.cert("a")).unwrap();
        assert!(!not_verified(&signed, &keys.cert("b")).is_empty());
        let found = signature::of_module(&signed).unwrap().unwrap();
        assert_eq!(found.hash.as_deref(), Some(hash.name()));
        assert_eq!(found.signer.as_deref(), (!by_key_id).then_some("a"));
    }
}

#[test]
fn what_was_tampered_with_is_seen() {
    let (keys, ko) = (Keys::new(&["a"]), module());
    let signed = keys.signer("a", Hash::Sha256, false).sign(&ko, false).unwrap();
    let cert = keys.cert("a");
    let end = signed.len() - MAGIC.len();
    // A byte of the code, of the signature, of its length, of its type.
    for at in [ko.len() / 2, ko.len() + 40, end - INFO - 1, end - 1, end - INFO + 2] {
        let mut bad = signed.clone();
        bad[at] ^= 1;
        not_verified(&bad, &cert);
    }
    // Truncated at either end, the mark kept; without the mark; without anything.
    not_verified(&signed[1..], &cert);
    not_verified(&[&signed[..end - 20], MAGIC].concat(), &cert);
    assert_eq!(not_verified(&signed[..end], &cert), "it has none");
    assert_eq!(not_verified(&ko, &cert), "it has none");
    not_verified(MAGIC, &cert);
    // The signature of one module behind another.
    let mut other = ko.clone();
    other.push(0);
    not_verified(&[&other[..], &signed[ko.len()..]].concat(), &cert);
}

/// A signature that holds its content says nothing of the module in front of it, and the kernel refuses it.
#[test]
fn a_signature_of_something_else_is_refused() {
    let (keys, ko) = (Keys::new(&["a"]), module());
    let dir = keys.0.path();
    std::fs::write(dir.join("good"), "something else").unwrap();
    let mut command = Command::new("openssl");
    command.args(["cms", "-sign", "-binary", "-noattr", "-nocerts", "-nodetach", "-outform", "DER"]);
    command.args(["-signer", "a.crt", "-inkey", "a.key", "-in", "good", "-out", "sig"]).current_dir(dir);
    assert!(command.status().unwrap().success());
    let der = std::fs::read(dir.join("sig")).unwrap();
    let signed = [&ko[..], &der, &info(der.len()).unwrap(), MAGIC].concat();
    assert!(not_verified(&signed, &keys.cert("a")).contains("detached"));
}

/// As the kernel does (kernel/module_signature.c, mod_check_sig).
#[test]
fn bytes_that_have_to_be_zero() {
    let (keys, ko) = (Keys::new(&["a"]), module());
    let signed = keys.signer("a", Hash::Sha256, false).sign(&ko, false).unwrap();
    let info = signed.len() - MAGIC.len() - INFO;
    for at in [0, 1, 3, 4, 5, 6, 7] {
        let mut bad = signed.clone();
        bad[info + at] = 1;
        assert!(not_verified(&bad, &keys.cert("a")).contains("zero"), "byte {at}");
    }
}

#[test]
fn a_signature_gives_way_when_told_so() {
    let (keys, ko) = (Keys::new(&["a", "b"]), module());
    let first = keys.signer("a", Hash::Sha512, false).sign(&ko, false).unwrap();
    let second = keys.signer("b", Hash::Sha512, false);
    let error = format!("{:#}", second.sign(&first, false).unwrap_err());
    assert!(error.contains("already signed") && error.contains("--replace"), "{error}");
    let again = second.sign(&first, true).unwrap();
    assert_eq!(again, second.sign(&ko, false).unwrap());
    verify(&again, "it", &keys.cert("b")).unwrap();
}

#[test]
fn what_cannot_be_signed_is_said() {
    let (keys, ko) = (Keys::new(&["a", "b"]), module());
    let says = |signer: &Signer, ko: &[u8], words: &str| {
        let error = format!("{:#}", signer.sign(ko, false).unwrap_err());
        assert!(error.contains(words), "{error}");
    };
    let good = keys.signer("a", Hash::Sha256, false);
    says(&good, b"", "it is not a module");
    says(&good, b"\x28\xb5\x2f\xfd", "compressed");
    says(&good, &ko[..ko.len() / 2], "no sound module");
    says(&good, MAGIC, "malformed");
    let with = |key: &str, cert: &str| Signer { key: key.into(), cert: keys.cert(cert), ..good.clone() };
    says(&with("/no/such.key", "a"), &ko, "there is no key /no/such.key");
    says(&with(&good.key, "none"), &ko, "none.crt");
    says(&with(&keys.signer("b", Hash::Sha256, false).key, "a"), &ko, "openssl cannot sign");
    says(&with(&keys.cert("a").display().to_string(), "a"), &ko, PIN);
    says(&with("pkcs11:object=a;pin-value=1234", "a"), &ko, "leave pin-value out");
    says(&Signer { cert: keys.0.path().join("a.key"), ..good.clone() }, &ko, "is not an X.509 certificate");
}
