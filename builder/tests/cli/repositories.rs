// SPDX-License-Identifier: GPL-2.0-or-later
//! Repositories over time: how old an index is, what is compared before a release, keys, several streams.

use super::stream::{rpm, version, Bench};
use super::tool::{collect, command, names, put, Ran};
use super::Test;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

pub const TESTS: &[Test] = &[
    ("repositories_age_and_are_compared", repositories),
    ("rpms_are_signed_later_and_streams_share_a_repository", shared),
];

/// Secret keys as gpg writes them, in `a.asc` and `b.asc` of `dir`.
fn openpgp_keys(dir: &Path) -> [String; 2] {
    ["a", "b"].map(|name| {
        // gpg's sockets have short paths.
        let home = tempfile::Builder::new().prefix("k").tempdir_in("/tmp").unwrap();
        let gpg = |args: &[&str]| {
            let mut gpg = Command::new("gpg");
            gpg.args(["--batch", "--yes", "--quiet", "--faked-system-time", "20200101T000000", "--passphrase", ""]);
            let ran = collect(gpg.arg("--homedir").arg(home.path()).args(args));
            ran.succeeds();
        };
        gpg(&["--quick-generate-key", "Ada Example <ada@example.com>", "rsa2048", "sign", "never"]);
        let file = dir.join(format!("{name}.asc")).display().to_string();
        gpg(&["--armor", "--output", &file, "--export-secret-keys"]);
        let _ = Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).output();
        file
    })
}

impl Bench {
    /// Runs at `seconds` since 1970.
    fn at(&self, seconds: i64, verb: &str, more: &[&str]) -> Ran {
        let mut run = command(&self.kernel.cache());
        run.env("SOURCE_DATE_EPOCH", seconds.to_string()).args(["stream", verb]).arg(&self.file);
        collect(run.arg("-o").arg(&self.repo).args(more))
    }

    /// Lines of Release.
    fn says(&self, field: &str) -> String {
        let text = fs::read_to_string(self.repo.join("Release")).unwrap();
        text.lines().find_map(|line| line.strip_prefix(&format!("{field}: "))).unwrap_or_default().to_string()
    }
}

fn repositories() {
    const NOW: i64 = 1_790_000_000;
    let bench = Bench::new();
    let (head, first) = (bench.head(""), version(1, "", "one.patch", ""));
    bench.write(&["valid_days = 2\n", &head, &first]);
    let [key, other_key] = openpgp_keys(bench.kernel.dir.path());
    bench.at(NOW, "release", &[]).succeeds();
    assert_eq!(bench.says("Date"), "Mon, 21 Sep 2026 14:13:20 UTC");
    assert_eq!(bench.says("Valid-Until"), "Wed, 23 Sep 2026 14:13:20 UTC");
    // A clock that has stopped, and one that goes back; whatever says so is lost, the ledger or the index.
    bench.at(NOW, "renew", &[]).succeeds();
    assert_eq!(bench.says("Date"), "Mon, 21 Sep 2026 14:13:21 UTC");
    fs::remove_file(bench.repo.join("Release")).unwrap();
    let ran = bench.at(NOW - 86_400, "renew", &[]);
    assert!(ran.succeeds().err.contains("is the clock right?"), "{}", ran.err);
    assert_eq!(bench.says("Date"), "Mon, 21 Sep 2026 14:13:22 UTC");
    let mut ledger = bench.ledger();
    ledger.as_object_mut().unwrap().remove("index");
    fs::write(bench.file.with_file_name("ledger.json"), ledger.to_string()).unwrap();
    bench.at(NOW, "renew", &[]).succeeds();
    assert_eq!(bench.says("Date"), "Mon, 21 Sep 2026 14:13:23 UTC");
    // 90 days, where the file does not say it.
    bench.write(&[&head, &first]);
    bench.at(NOW + 60, "renew", &[]).succeeds();
    assert_eq!(bench.says("Valid-Until"), "Sun, 20 Dec 2026 14:14:20 UTC");

    // What was signed stays signed, until that is given up on purpose.
    bench.at(NOW + 120, "renew", &["--gpg-key", &key]).succeeds();
    let inrelease = bench.repo.join("InRelease");
    let signed = fs::read(&inrelease).unwrap();
    for verb in ["release", "renew"] {
        bench
            .at(NOW + 180, verb, &[])
            .fails(2, &["[repository-signature-dropped] InRelease", "--gpg-key", "--unsigned"]);
        assert_eq!(fs::read(&inrelease).unwrap(), signed);
    }
    fs::rename(&inrelease, bench.kernel.dir.path().join("away")).unwrap();
    bench.at(NOW + 180, "renew", &[]).fails(2, &["[repository-signature-dropped] ledger.json"]);
    let ran = bench.at(NOW + 180, "renew", &["--gpg-key", &other_key]);
    assert!(ran.succeeds().err.contains("hosts that do not have the new key"), "{}", ran.err);
    bench.at(NOW + 240, "renew", &["--unsigned"]).succeeds();
    assert!(!inrelease.exists());
    bench.at(NOW + 300, "renew", &[]).succeeds();

    // The ledger against what lies there.
    let ledger = bench.ledger();
    let deb = ledger["kernels"][&bench.kernel.target.name][0]["packages"][0]["file"].as_str().unwrap().to_string();
    let (path, away) = (bench.repo.join(&deb), bench.kernel.dir.path().join("away.deb"));
    let good = fs::read(&path).unwrap();
    let date = bench.says("Date");
    fs::rename(&path, &away).unwrap();
    let missing = format!("[repository-package-missing] {deb}");
    bench.at(NOW + 360, "renew", &[]).fails(2, &[&missing, "--restore"]);
    fs::write(&path, [&good[..], b"x"].concat()).unwrap();
    let changed = format!("[repository-package-changed] {deb}");
    for verb in ["renew", "release"] {
        let ran = bench.at(NOW + 360, verb, &[]);
        ran.fails(2, &[&changed]);
        assert!(!ran.err.contains("building"), "{}", ran.err);
    }
    fs::write(&path, &good).unwrap();
    let stranger = bench.repo.join("stranger_1_amd64.deb");
    fs::write(&stranger, &good).unwrap();
    let foreign = "[repository-package-foreign] stranger_1_amd64.deb";
    for verb in ["renew", "release"] {
        bench.at(NOW + 360, verb, &[]).fails(2, &[foreign, "--other-stream", "--adopt"]);
    }
    assert_eq!(bench.says("Date"), date);
    bench.at(NOW + 360, "renew", &["--adopt", "stranger_1_amd64.deb"]).succeeds();
    bench.at(NOW + 420, "renew", &[]).succeeds();
    assert!(fs::read_to_string(bench.repo.join("Packages")).unwrap().contains("stranger_1_amd64.deb"));
    // Built again: the same bytes.
    fs::remove_file(&path).unwrap();
    let empty = names(&bench.repo).into_iter().find(|n| n.contains("_0-0_")).unwrap();
    fs::remove_file(bench.repo.join(&empty)).unwrap();
    bench.write(&[&head, &first, &version(2, "", "two.patch", "")]);
    bench.at(NOW + 480, "release", &[]).fails(2, &[&missing]);
    bench.at(NOW + 480, "release", &["--restore"]).succeeds();
    assert_eq!(fs::read(&path).unwrap(), good);
    assert!(bench.repo.join(&empty).exists());
    // A run that was broken off before the ledger knew the package is run again.
    let mut ledger = bench.ledger();
    ledger["kernels"][&bench.kernel.target.name].as_array_mut().unwrap().pop();
    fs::write(bench.file.with_file_name("ledger.json"), ledger.to_string()).unwrap();
    bench.at(NOW + 540, "renew", &[]).fails(2, &["[repository-package-foreign]", "_1-2_"]);
    bench.at(NOW + 540, "release", &[]).succeeds();
    // One of an older program.
    let mut ledger = bench.ledger();
    ledger["schema"] = 2.into();
    for key in ["others", "index"] {
        ledger.as_object_mut().unwrap().remove(key);
    }
    fs::write(bench.file.with_file_name("ledger.json"), ledger.to_string()).unwrap();
    fs::rename(&stranger, bench.kernel.dir.path().join("stranger")).unwrap();
    let ran = bench.at(NOW + 600, "renew", &[]);
    assert!(ran.succeeds().err.contains(&format!("entering {empty} into the ledger")), "{}", ran.err);

    // Two at work on one repository wait for each other, whichever stream it is; no one else can open the lock.
    let lock = fs::File::options().write(true).open(bench.repo.join(".kmend.lock")).unwrap();
    assert_eq!(lock.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    lock.lock().unwrap();
    let mut waits = command(&bench.kernel.cache());
    waits.args(["stream", "renew"]).arg(&bench.file).arg("-o").arg(&bench.repo).stderr(Stdio::piped());
    let mut waits = waits.stdout(Stdio::null()).spawn().unwrap();
    let mut err = std::io::BufReader::new(waits.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut err, &mut line).unwrap();
    let me = format!("{}", std::process::id());
    assert!(line.contains("waiting for") && line.contains(&me) && line.contains(".kmend.lock"), "{line}");
    assert!(waits.try_wait().unwrap().is_none());
    drop(lock);
    assert!(waits.wait().unwrap().success());
}

/// RPMs of two streams; the first was released without a key.
fn shared() {
    const NOW: i64 = 1_790_000_000;
    let bench = Bench::new();
    let dir = bench.kernel.dir.path();
    let [key, _] = openpgp_keys(dir);
    let head = bench.head("").replacen("\n\n", "\npackages = \"rpm\"\n\n", 1);
    bench.write(&[&head, &version(1, "", "one.patch", "cves = [\"CVE-2026-1001\"]")]);
    bench.at(NOW, "release", &[]).succeeds();
    let packages = || -> Vec<String> { names(&bench.repo).into_iter().filter(|n| n.ends_with(".rpm")).collect() };
    let three = packages();
    assert_eq!(three.len(), 3, "{three:?}");
    let signature = |name: &str| rpm(&bench.repo.join(name), "--qf=%{RSAHEADER:pgpsig}");
    assert!(three.iter().all(|name| signature(name).contains("(none)")));
    let ran = bench.at(NOW + 60, "renew", &["--gpg-key", &key]);
    for name in &three {
        assert!(ran.succeeds().err.contains(&format!("signing {name}")), "{}", ran.err);
        assert!(signature(name).contains("Key ID"), "{}", signature(name));
    }
    assert!(bench.repo.join("repodata/repomd.xml.asc").exists());
    // The ledger knows the new sums; a run that was broken off between the two is run again.
    let ran = bench.at(NOW + 120, "renew", &["--gpg-key", &key]);
    assert!(!ran.succeeds().err.contains("signing "), "{}", ran.err);
    let index = fs::read_to_string(bench.repo.join("repodata/repomd.xml")).unwrap();
    assert!(index.contains("<content>kmend-valid-until=2026-12-20T14:15:20Z</content>"), "{index}");
    assert!(index.contains("<revision>1790000120</revision>"), "{index}");

    // Another stream, for another kernel.
    let mut other = bench.kernel.target.clone();
    other.name = "tree:other-kernel-of-tests".into();
    other.release = "9.9.9-2.el9.x86_64".into();
    bench.kernel.store(&other);
    fs::copy(bench.file.with_file_name("two.patch"), put(&dir.join("second"), "two.patch", "")).unwrap();
    let text = head.replacen("\"tests\"", "\"second\"", 1) + &version(1, "", "two.patch", "");
    let same = put(&dir.join("same"), "stream.toml", &text);
    fs::copy(bench.file.with_file_name("two.patch"), same.with_file_name("two.patch")).unwrap();
    let second = put(&dir.join("second"), "stream.toml", text.replace(&bench.kernel.target.name, &other.name));
    let run = |file: &Path, verb: &str, more: &[&str]| {
        let mut run = command(&bench.kernel.cache());
        run.env("SOURCE_DATE_EPOCH", (NOW + 180).to_string()).args(["stream", verb]).arg(file);
        collect(run.arg("-o").arg(&bench.repo).args(["--gpg-key", &key]).args(more))
    };
    let foreign = format!("[repository-package-foreign] {}", three.iter().find(|n| n.contains("-1-1.")).unwrap());
    run(&second, "renew", &[]).fails(2, &[&foreign]);
    let first = bench.file.to_str().unwrap();
    run(&same, "renew", &["--other-stream", first]).fails(1, &["both", "kpatch-patch-"]);
    run(&second, "renew", &["--other-stream", first]).succeeds();
    let index = || {
        let folder = bench.repo.join("repodata");
        let name = names(&folder).into_iter().find(|n| n.contains("updateinfo")).unwrap();
        let ran = Command::new("zcat").arg(folder.join(name)).output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    assert!(index().contains(":tests-"), "{}", index());
    let metapackage = packages().into_iter().filter(|n| n.starts_with("kpatch-patches-")).max().unwrap();
    let asks_for = rpm(&bench.repo.join(&metapackage), "--recommends");
    assert!(asks_for.contains("kpatch-patch-9_9_9-2") && asks_for.lines().count() == 2, "{metapackage}: {asks_for}");
    run(&bench.file, "renew", &[]).fails(2, &["[repository-package-foreign] kpatch-patch-9_9_9-2-0-0."]);
    run(&bench.file, "renew", &["--other-stream", second.to_str().unwrap()]).succeeds();
    assert!(index().contains(":tests-"), "{}", index());
}
