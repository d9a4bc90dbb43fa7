// SPDX-License-Identifier: GPL-2.0-or-later
//! The repository of debs as apt reads it.

use crate::deb::Host;
use crate::samples::{self, debian, live_patch, DEBIAN};
use crate::tools::{as_root, run, Said};
use kmend_packager::debian::{self as deb, Suite};
use kmend_packager::{Arch, Dates, Key, Names};
use std::fs;
use std::path::{Path, PathBuf};

const NAME: &str = "kpatch-patch-7.2.12+deb14-amd64";

pub fn suite() -> Suite {
    Suite { stream: "debian-forky".into(), vendor: "Example".into(), dates: samples::dates() }
}

pub fn repository(host: &Host) -> PathBuf {
    host.dir.path().join("repository")
}

/// Puts a live patch of `kernel` into the repository, beside what is there.
pub fn add(host: &Host, kernel: &str, release: u32) {
    let names = Names::new(kernel, Arch::X86_64).unwrap();
    let patch = live_patch(host.dir.path(), &names, release);
    deb::live_patch(&patch).unwrap().write(&repository(host)).unwrap();
    deb::repository(&repository(host), &suite(), None).unwrap();
}

fn publish(host: &Host, release: u32, key: Option<&Key>) {
    publish_at(host, release, samples::dates(), key);
}

fn publish_at(host: &Host, release: u32, dates: Dates, key: Option<&Key>) {
    let patch = live_patch(host.dir.path(), &debian(), release);
    deb::live_patch(&patch).unwrap().write(&repository(host)).unwrap();
    deb::repository(&repository(host), &Suite { dates, ..suite() }, key).unwrap();
}

/// apt-get at work on the host, with one source and nothing of this machine's own.
pub fn apt(host: &Host, source_option: &str, args: &[&str]) -> Said {
    apt_by(host, "file", source_option, args)
}

/// The same, by `file`, where apt uses the repository's own files, or by `copy`.
fn apt_by(host: &Host, way: &str, source_option: &str, args: &[&str]) -> Said {
    let config = config(host, way, source_option, "");
    run(as_root("apt-get").env("APT_CONFIG", config).args(["-y", "-q"]).args(args))
}

/// The file that has apt's programs work on the host; `more` is put into it.
pub fn config(host: &Host, way: &str, source_option: &str, more: &str) -> PathBuf {
    let dir = host.dir.path().display();
    let root = host.root.path().display();
    for folder in ["state/lists/partial", "cache/archives/partial", "log", "etc/preferences.d"] {
        fs::create_dir_all(host.dir.path().join(folder)).unwrap();
    }
    let source = format!("deb [{source_option}] {way}:{} ./\n", repository(host).display());
    fs::write(host.dir.path().join("etc/sources.list"), source).unwrap();
    // Read before the machine's own files, which it leads away from.
    let config = host.dir.path().join("apt.conf");
    let text = format!(
        r#"Dir::Etc "{dir}/etc";
Dir::Etc::Parts "/nonexistent";
Dir::Etc::SourceParts "/nonexistent";
Dir::State "{dir}/state";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Cache "{dir}/cache";
Dir::Log "{dir}/log";
DPkg::Options {{ "--root={root}"; "--force-architecture"; }};
Debug::NoLocking "1";
APT::Sandbox::User "root";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
{more}"#
    );
    fs::write(&config, text).unwrap();
    config
}

fn signed_by(public: &Path) -> String {
    format!("signed-by={}", public.display())
}

#[test]
fn apt_subscribes_and_updates_from_a_signed_repository() {
    let host = Host::new();
    let (secret, public) = samples::key_of(host.dir.path(), "ed25519", "");
    let key = Key::read(&secret).unwrap();
    let trust = signed_by(&public);
    publish(&host, 0, Some(&key));
    apt(&host, &trust, &["update"]).ok();
    apt(&host, &trust, &["install", NAME]).ok();
    assert_eq!(host.version(NAME), "0-0");
    for release in [1, 2] {
        publish(&host, release, Some(&key));
        apt(&host, &trust, &["update"]).ok();
        apt(&host, &trust, &["upgrade"]).ok();
        assert_eq!(host.version(NAME), format!("1-{release}"));
        assert_eq!(host.root.installed(DEBIAN), [format!("kpatch-7_2_12_deb14-amd64-1-{release}.ko")]);
    }
    let shown = run(as_root("dpkg").arg(format!("--root={}", host.root.path().display())).args(["-s", NAME])).ok();
    assert!(shown.contains("Kmend-Cves: CVE-2026-1001 CVE-2026-1002"), "{shown}");
}

#[test]
fn apt_refuses_what_was_changed_after_signing() {
    let host = Host::new();
    let (secret, public) = samples::key(host.dir.path());
    publish(&host, 1, Some(&Key::read(&secret).unwrap()));
    let inrelease = repository(&host).join("InRelease");
    let good = fs::read_to_string(&inrelease).unwrap();
    fs::write(&inrelease, good.replace("Suite: debian-forky", "Suite: debian-other")).unwrap();
    let said = apt(&host, &signed_by(&public), &["update"]);
    assert!(said.text.contains("signature") || said.text.contains("BADSIG"), "{}", said.text);
    apt(&host, &signed_by(&public), &["install", NAME]).refused();
    fs::write(&inrelease, good).unwrap();
    let packages = repository(&host).join("Packages");
    fs::write(&packages, fs::read_to_string(&packages).unwrap().replace("Section: kernel", "Section: colonel"))
        .unwrap();
    let said = apt(&host, &signed_by(&public), &["update"]).refused();
    assert!(said.contains("Hash Sum mismatch") || said.contains("unexpected size"), "{said}");
}

/// Seconds since 1970.
fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

#[test]
fn apt_refuses_an_index_that_has_expired() {
    let host = Host::new();
    let (secret, public) = samples::key(host.dir.path());
    let (key, trust) = (Key::read(&secret).unwrap(), signed_by(&public));
    let now = now();
    publish_at(&host, 1, Dates { date: now - 200, valid_until: Some(now - 100) }, Some(&key));
    let said = apt(&host, &trust, &["update"]).refused();
    assert!(said.contains("is expired"), "{said}");
    apt(&host, &trust, &["install", NAME]).refused();
    publish_at(&host, 1, Dates { date: now - 100, valid_until: Some(now + 86_400) }, Some(&key));
    apt(&host, &trust, &["update"]).ok();
    apt(&host, &trust, &["install", NAME]).ok();
    assert_eq!(host.version(NAME), "1-1");
}

#[test]
fn apt_keeps_the_newer_index_where_a_mirror_goes_back() {
    let host = Host::new();
    let (secret, public) = samples::key(host.dir.path());
    let (key, trust) = (Key::read(&secret).unwrap(), signed_by(&public));
    let files = || ["Packages", "Release", "InRelease"].map(|name| repository(&host).join(name));
    publish(&host, 1, Some(&key));
    let older = files().map(|path| fs::read(path).unwrap());
    let newer = Dates { date: samples::dates().date + 1, valid_until: None };
    publish_at(&host, 2, newer, Some(&key));
    apt_by(&host, "copy", &trust, &["update"]).ok();
    files().iter().zip(older).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    apt_by(&host, "copy", &trust, &["update"]).ok();
    apt_by(&host, "copy", &trust, &["install", NAME]).ok();
    assert_eq!(host.version(NAME), "1-2");
}

#[test]
fn without_a_key_apt_has_to_be_told_to_trust() {
    let host = Host::new();
    publish(&host, 1, None);
    assert!(!repository(&host).join("InRelease").exists());
    assert!(apt(&host, "arch=amd64", &["update"]).text.contains("is not signed"));
    apt(&host, "trusted=yes", &["update"]).ok();
    apt(&host, "trusted=yes", &["install", NAME]).ok();
    assert_eq!(host.version(NAME), "1-1");
}

#[test]
fn the_repository_has_the_same_bytes_again() {
    let host = Host::new();
    publish(&host, 1, None);
    let read = || ["Packages", "Release"].map(|name| fs::read_to_string(repository(&host).join(name)).unwrap());
    let first = read();
    let expected = "Origin: Example\nLabel: kmend\nSuite: debian-forky\nDate: Mon, 21 Sep 2026 14:13:20 UTC\n\
        Architectures: amd64\nDescription: live patches\nSHA256:\n ";
    assert!(first[1].starts_with(expected), "{}", first[1]);
    publish(&host, 1, None);
    assert_eq!(first, read());
    assert_eq!(kmend_packager::before(&repository(&host)).unwrap().date, Some(samples::DATE));
    publish_at(&host, 1, Dates { date: samples::DATE, valid_until: Some(samples::DATE + 86_400) }, None);
    let until = "UTC\nValid-Until: Tue, 22 Sep 2026 14:13:20 UTC\nArchitectures:";
    assert!(read()[1].contains(until), "{}", read()[1]);
    publish(&host, 1, None);
    fs::write(repository(&host).join("other.deb"), "no package").unwrap();
    let error = format!("{:#}", deb::repository(&repository(&host), &suite(), None).unwrap_err());
    assert!(error.contains("other.deb is no Debian package") || error.contains("other.deb has no control"), "{error}");
}
