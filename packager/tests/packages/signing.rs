// SPDX-License-Identifier: GPL-2.0-or-later
//! Keys as people have them, and what is left of them on the machine that signs: nothing, however the program ended.

use crate::samples::{self, el9, live_patch};
use crate::tools::{program, run};
use kmend_packager::{redhat, Arch, Key};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The secret key that [`in_a_process_of_its_own`] reads.
const CHILD: &str = "KMEND_TEST_SIGNING_KEY";

/// A home folder of gpg's, for keys that gpg makes in several steps. Its agent ends with it.
struct Gpg(tempfile::TempDir);

impl Gpg {
    fn new() -> Gpg {
        // gpg's sockets have short paths.
        Gpg(tempfile::Builder::new().prefix("k").tempdir_in("/tmp").unwrap())
    }

    /// At the beginning of `year`.
    #[track_caller]
    fn at(&self, year: u32, args: &[&str]) -> String {
        let mut gpg = program("gpg");
        gpg.args(["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", "--homedir"]);
        gpg.arg(self.0.path()).arg("--faked-system-time").arg(format!("{year}0101T000000"));
        run(gpg.args(args)).ok()
    }

    /// A key that certifies, with a subkey that signs until `expires`; its fingerprint.
    fn with_subkey(&self, expires: &str) -> String {
        self.at(2020, &["--quick-generate-key", "Ada Example <ada@example.com>", "rsa2048", "cert", "never"]);
        let listed = self.at(2020, &["--with-colons", "--list-keys"]);
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        let fingerprint = line.trim_end_matches(':').rsplit(':').next().unwrap().to_string();
        self.at(2021, &["--quick-add-key", &fingerprint, "rsa2048", "sign", expires]);
        fingerprint
    }

    /// What `export` writes into a new file of `folder`.
    fn export(&self, folder: &Path, name: &str, export: &[&str]) -> PathBuf {
        let path = folder.join(name);
        self.at(2022, &[&["--output", path.to_str().unwrap()], export].concat());
        path
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = program("gpgconf").arg("--homedir").arg(self.0.path()).args(["--kill", "all"]).output();
    }
}

#[track_caller]
fn refused(path: &Path) -> String {
    format!("{:#}", Key::read(path).expect_err("should have been refused"))
}

#[test]
fn keys_are_read_with_armor_and_without_and_from_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let gpg = Gpg::new();
    let fingerprint = gpg.with_subkey("never");
    let armored = gpg.export(dir.path(), "a.asc", &["--armor", "--export-secret-keys"]);
    let plain = gpg.export(dir.path(), "a.gpg", &["--export-secret-keys"]);
    // The primary key stays at home: `sec#` in gpg's listings.
    let subkeys = gpg.export(dir.path(), "b.asc", &["--armor", "--export-secret-subkeys"]);
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let (pipe, key) = (pipe.clone(), fs::read(&armored).unwrap());
        move || fs::write(pipe, key).unwrap()
    });
    let patch = live_patch(dir.path(), &el9(Arch::X86_64), 1);
    let signed = [&armored, &plain, &subkeys, &pipe].map(|path| {
        let key = Key::read(path).unwrap();
        assert_eq!(key.fingerprint(), fingerprint);
        redhat::live_patch(&patch, Some(&key)).unwrap().bytes
    });
    writer.join().unwrap();
    assert!(signed.windows(2).all(|pair| pair[0] == pair[1]), "one signature by one key");
}

#[test]
fn a_key_that_signs_no_longer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let gpg = Gpg::new();
    gpg.with_subkey("2022-06-01");
    let expired = gpg.export(dir.path(), "a.asc", &["--armor", "--export-secret-keys"]);
    assert!(refused(&expired).contains("its signing key has expired"), "{}", refused(&expired));
    let certifies = Gpg::new();
    certifies.at(2020, &["--quick-generate-key", "Bob <b@example.com>", "rsa2048", "cert", "never"]);
    let certifies = certifies.export(dir.path(), "b.asc", &["--armor", "--export-secret-keys"]);
    assert!(refused(&certifies).contains("it is not made for signing"), "{}", refused(&certifies));
    let other = Gpg::new();
    other.at(2020, &["--quick-generate-key", "Bob <b@example.com>", "dsa2048", "sign", "never"]);
    let other = other.export(dir.path(), "c.asc", &["--armor", "--export-secret-keys"]);
    assert!(refused(&other).contains("it is neither RSA, ECDSA nor Ed25519"), "{}", refused(&other));
    let revoked = Gpg::new();
    revoked.at(2020, &["--quick-generate-key", "Bob <b@example.com>", "rsa2048", "sign", "never"]);
    let certificate = fs::read_dir(revoked.0.path().join("openpgp-revocs.d")).unwrap().next().unwrap().unwrap().path();
    // A colon keeps people from revoking by mistake.
    let text = fs::read_to_string(&certificate).unwrap().replace(":-----BEGIN", "-----BEGIN");
    fs::write(&certificate, text).unwrap();
    revoked.at(2021, &["--import", certificate.to_str().unwrap()]);
    let revoked = revoked.export(dir.path(), "d.asc", &["--armor", "--export-secret-keys"]);
    assert!(refused(&revoked).contains("it is revoked"), "{}", refused(&revoked));
}

#[test]
fn files_that_are_no_key_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, public) = samples::key(dir.path());
    let good = fs::read(&secret).unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let none = [
        put("empty", b""),
        put("text", b"no key"),
        put("half", &good[..good.len() / 2]),
        put("zeroes", &[0; 5000]),
        put("packets", &[0x95; 5000]),
        put("utf-16", &[0xff, 0xfe, b'-', 0, b'-', 0]),
        public,
    ];
    for path in none {
        assert!(refused(&path).contains("holds no OpenPGP secret key"), "{}: {}", path.display(), refused(&path));
    }
    assert!(refused(Path::new("/dev/zero")).contains("that is no secret key"));
    assert!(refused(dir.path()).contains("cannot read"));
    assert!(refused(&dir.path().join("none")).contains("cannot read"));
}

/// Signs; where another test started this program for it, waits there to be killed.
#[test]
fn in_a_process_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let given = std::env::var_os(CHILD).map(PathBuf::from);
    let key = match Key::read(&given.clone().unwrap_or_else(|| samples::key(dir.path()).0)) {
        Ok(key) => key,
        Err(error) => return println!("refused: {error:#}"),
    };
    let patch = live_patch(dir.path(), &el9(Arch::X86_64), 1);
    assert!(redhat::is_signed(&redhat::live_patch(&patch, Some(&key)).unwrap().bytes).unwrap());
    println!("signed");
    if given.is_some_and(|path| path.with_extension("wait").exists()) {
        std::thread::sleep(Duration::from_secs(300));
    }
}

/// This program with only that test, in a folder for temporary files of its own.
fn child(key: &Path, temporary: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "signing::in_a_process_of_its_own", "--nocapture", "--test-threads=1"]);
    child.env(CHILD, key).env("TMPDIR", temporary).stdout(Stdio::piped());
    child
}

/// Command lines of processes with `word`.
fn processes(word: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    let lines = all.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(word) && line.contains("gpg")).collect()
}

#[track_caller]
fn nothing_is_left(temporary: &Path) {
    let word = temporary.to_str().unwrap();
    let left = || {
        let files = fs::read_dir(temporary).unwrap().map(|e| e.unwrap().file_name());
        let files = files.filter(|name| name.to_string_lossy().starts_with("kmend-gpg-")).count();
        (files, processes(word))
    };
    let begun = Instant::now();
    while left() != (0, Vec::new()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", left());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_is_left_of_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let temporary = tempfile::Builder::new().prefix("k").tempdir_in("/tmp").unwrap();
    let (secret, _) = samples::key(dir.path());
    let out = child(&secret, temporary.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("signed"), "{out:?}");
    nothing_is_left(temporary.path());
    // The same for a program that is killed.
    fs::write(secret.with_extension("wait"), "").unwrap();
    let mut killed = child(&secret, temporary.path()).spawn().unwrap();
    let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("signed")));
    assert!(!processes(temporary.path().to_str().unwrap()).is_empty(), "an agent is at work");
    killed.kill().unwrap();
    killed.wait().unwrap();
    nothing_is_left(temporary.path());
}

#[test]
fn a_long_folder_for_temporary_files_does_not_hinder() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, _) = samples::key(dir.path());
    let long = dir.path().join("x".repeat(100));
    fs::create_dir(&long).unwrap();
    let out = child(&secret, &long).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("signed"), "{out:?}");
}

#[test]
fn a_machine_without_gpg_is_told_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, _) = samples::key(dir.path());
    let out = child(&secret, dir.path()).env("PATH", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("refused") && said.contains("gnupg2 (Fedora, RHEL)"), "{said}");
}
