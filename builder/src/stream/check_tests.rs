// SPDX-License-Identifier: GPL-2.0-or-later
//! A sound stream file, and what is said when one thing in it is not.

use super::*;
use std::fs;
use std::path::PathBuf;

const GOOD: &str = r#"name = "test"
packager = "A Team <team@example.org>"

[[kernel]]
target = "debian:none/6.0.0-one-amd64"
supported_until = "2027-09-01"
level = "6.0.1-1"
fixed = ["CVE-2026-0001"]
fixed_file = "fixed.txt"

[[kernel.not_carried]]
cve = "CVE-2026-0004"
reason = "changes struct layout"

[[kernel]]
target = "tree:no-such-tree-of-tests"

[[version]]
version = "1-1"
date = "2026-10-02"

[[version.fix]]
patch = "fixes/a.patch"
cves = ["CVE-2026-1001", "CVE-2026-1000"]
severity = "important"
tickets = ["RHEL-1"]

[[version]]
version = "1-2"
date = "2026-10-09"
level = "6.0.2-1"

[[version.fix]]
patch = "fixes/b.patch"
title = "the second"
kernels = ["tree:no-such-tree-of-tests"]
"#;

fn patch(title: &str) -> String {
    format!("Subject: [PATCH] {title}\n\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a\n+{title}\n")
}

/// A folder with the files that `text` names, and that file.
fn put(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("fixes")).unwrap();
    for name in ["a", "b"] {
        fs::write(dir.path().join(format!("fixes/{name}.patch")), patch(name)).unwrap();
    }
    fs::write(dir.path().join("fixed.txt"), "# from the tracker\nCVE-2026-0002\n\n CVE-2026-0003 # by chance\n")
        .unwrap();
    fs::write(dir.path().join("hooks.rs"), "fn nothing() {}\n").unwrap();
    let path = dir.path().join("stream.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

/// All that is said of the sound file with `from` made `to`.
fn says(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    let (_dir, path) = put(&GOOD.replacen(from, to, 1));
    let error = Stream::read(&path).unwrap_err();
    let faults = error.downcast_ref::<Faults>().unwrap_or_else(|| panic!("{error:#}"));
    faults.faults.iter().map(|f| format!("{}: {}", f.line, f.reason)).collect()
}

#[track_caller]
fn one(from: &str, to: &str, line: usize, words: &str) {
    let said = says(from, to);
    let begin = format!("{line}: ");
    assert!(said.len() == 1 && said[0].starts_with(&begin) && said[0].contains(words), "{said:#?}");
}

#[test]
fn a_sound_file_is_read() {
    let (_dir, path) = put(GOOD);
    let stream = Stream::read(&path).unwrap();
    let [one, two] = stream.kernels.as_slice() else { panic!() };
    assert_eq!(one.release.as_deref(), Some("6.0.0-one-amd64"));
    assert_eq!(two.release, None);
    let newest = stream.version(None).unwrap();
    let facts = stream.facts(one, newest);
    assert_eq!(facts.fixed_by_kernel, ["CVE-2026-0001", "CVE-2026-0002", "CVE-2026-0003"]);
    assert_eq!(facts.not_carried[0].reason, "changes struct layout");
    assert_eq!((facts.version.as_str(), facts.date.as_str()), ("1-2", "2026-10-09"));
    assert_eq!(facts.level.as_deref(), Some("6.0.2-1"));
    assert_eq!(stream.facts(one, &stream.versions[0]).level.as_deref(), Some("6.0.1-1"));
    assert_eq!(stream.facts(two, &stream.versions[0]).level, None);
    assert_eq!(stream.fixes(one, newest.version).len(), 1);
    let fixes = stream.fixes(two, newest.version);
    let titles: Vec<String> = fixes.iter().map(|(since, f)| format!("{since} {}", f.title)).collect();
    assert_eq!(titles, ["1-1 a", "1-2 the second"]);
    let label = fixes[0].1.label(fixes[0].0);
    assert_eq!(label.cves, ["CVE-2026-1000", "CVE-2026-1001"]);
    assert_eq!(label.severity.as_deref(), Some("important"));
    let unknown = stream.kernel("tree:y").unwrap_err().to_string();
    assert!(unknown.contains("it has: debian:none/6.0.0-one-amd64, tree:no-such"), "{unknown}");
}

#[test]
fn kernels() {
    let second = "target = \"tree:no-such-tree-of-tests\"";
    let none = says(second, "target = \"fedora\"");
    assert_eq!(none[0], "16: \"fedora\" names no kernel");
    let twice = says(second, "target = \"debian:none/6.0.0-one-amd64\"");
    assert!(twice[0].starts_with("16: ") && twice[0].contains("is listed twice"), "{twice:?}");
    let same = says(second, "target = \"debian:other/6.0.0-one-amd64\"");
    assert!(same[0].contains("names of those for debian:none/6.0.0-one-amd64"), "{same:?}");
    let long = format!("debian:none/6.0.0-{}", "x".repeat(50));
    let said = says("debian:none/6.0.0-one-amd64", &long);
    assert!(said.len() == 2 && said.iter().all(|s| s.contains("the kernel has room for 55")), "{said:?}");
    one("\"2027-09-01\"", "\"2026-10-01\"", 6, "before the first version");
    one("fixed.txt", "none.txt", 9, "cannot find");
    one("fixed.txt", "hooks.rs", 9, "hooks.rs, line 1: \"fn nothing() {}\" is no CVE");
    one("[\"CVE-2026-0001\"]", "[\"CVE-2026-0001\", \"CVE-2026-0001\"]", 8, "twice");
    one("CVE-2026-0004", "CVE-2026-0003", 12, "fixed by the kernel and as not carried");
    let none = says("[[kernel]]\ntarget = \"tree:no-such-tree-of-tests\"\n", "");
    assert!(none.iter().any(|s| s.contains("has no kernel \"tree:")), "{none:?}");
}

#[test]
fn versions() {
    one("\"1-2\"", "\"1-1\"", 29, "version 1-1 comes after 1-1");
    one("\"2026-10-09\"", "\"2026-10-01\"", 30, "before version 1-1 of 2026-10-02");
    one("level = \"6.0.2-1\"", "hooks = \"hooks.rs\"", 31, "hooks file hooks.rs");
    one("level = \"6.0.2-1\"", "hooks = \"../hooks.rs\"", 31, "`..`");
    let no_fix = GOOD.find("[[version]]").unwrap();
    let (_dir, path) = put(&GOOD[..no_fix]);
    assert!(format!("{:#}", Stream::read(&path).unwrap_err()).contains("the stream has no version"));
    let (_dir, path) = put(&format!("{GOOD}\n[[version]]\nversion = \"1-3\"\ndate = \"2026-10-09\"\n"));
    assert!(format!("{:#}", Stream::read(&path).unwrap_err()).contains("version 1-3 adds no fix"));
}

#[test]
fn fixes() {
    one("fixes/a.patch", "fixes/none.patch", 23, "cannot find");
    one("fixes/a.patch", "/etc/passwd", 23, "is absolute");
    one("fixes/a.patch", "fixed.txt", 23, "fixed.txt: ");
    one("fixes/b.patch", "fixes/a.patch", 34, "a.patch is the fix of line 23 again");
    one("\"CVE-2026-1001\"", "\"CVE-2026-0002\"", 23, "is fixed by the kernel debian:none/6.0.0-one-amd64 itself");
    one("\"CVE-2026-1001\"", "\"CVE-2026-0004\"", 23, "`not_carried`");
    one("\"CVE-2026-1001\"", "\"CVE-2026-1000\"", 24, "twice");
    one("[\"tree:no-such-tree-of-tests\"]", "[]", 34, "is empty");
    one("[\"tree:no-such-tree-of-tests\"]", "[\"tree:x\"]", 36, "has no kernel \"tree:x\"");
    one("\"important\"", "\"bad\"", 25, "critical");
    one("severity", "severety", 25, "unknown field");
}

#[test]
fn many_at_once_in_order() {
    let (_dir, path) = put(&GOOD.replace("fixes/b.patch", "none").replace("fixed.txt", "../x"));
    let text = Stream::read(&path).unwrap_err().to_string();
    let at = |line: usize| text.find(&format!("stream.toml, line {line}: ")).unwrap_or_else(|| panic!("{text}"));
    assert!(at(9) < at(34));
    assert!(text.contains("what you can do: "), "{text}");
}

/// A file of three commits, of which the second names a CVE.
fn mbox() -> String {
    let mail = |n: u32, message: &str| {
        let head = "From 0123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\n";
        format!("{head}Subject: [PATCH {n}/3] commit {n}\n\n{message}\n---\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a{n}\n+b{n}\n-- \n2.39\n\n")
    };
    mail(1, "") + &mail(2, "It fixes CVE-2026-1002 as CVE-2020-0001 was.") + &mail(3, "")
}

#[test]
fn each_commit_of_a_file_is_a_fix() {
    let table = "[[version.fix]]\npatch = \"fixes/b.patch\"\ntitle = \"the second\"\n";
    let tables = |new: &str| {
        let (dir, path) = put(&GOOD.replace(table, new));
        fs::write(dir.path().join("fixes/s.mbox"), mbox()).unwrap();
        (dir, path)
    };
    let told = |new: &str| -> Vec<(String, Option<usize>, usize)> {
        let (_dir, path) = tables(new);
        let stream = Stream::read(&path).unwrap();
        stream.versions[1].fixes.iter().map(|f| (f.title.clone(), f.commit, f.cves.len())).collect()
    };
    let one = |n: usize, cves: usize| (format!("commit {n}"), Some(n), cves);
    let all = "[[version.fix]]\npatch = \"fixes/s.mbox\"\n";
    assert_eq!(told(all), [one(1, 0), one(2, 0), one(3, 0)]);
    // What the message names and the author says is the second's.
    assert_eq!(told(&format!("{all}cves = [\"CVE-2026-1002\"]\n")), [one(1, 0), one(2, 1), one(3, 0)]);
    let alone = |n: usize, more: &str| format!("{all}commit = {n}\n{more}kernels = [\"tree:no-such-tree-of-tests\"]\n");
    let two =
        alone(3, "cves = [\"CVE-2026-1003\"]\n") + &alone(1, "title = \"mine\"\n").replace("kernels", "# kernels");
    assert_eq!(told(&two), [one(3, 1), ("mine".into(), Some(1), 0)]);
    for (more, says) in [
        ("cves = [\"CVE-2026-1003\"]\n", "it is not clear which of them fixes CVE-2026-1003"),
        ("title = \"x\"\n", "which of them `title` refers to"),
        ("commit = 4\n", "has no commit 4: it has 3"),
        ("commit = 0\n", "nonzero"),
    ] {
        let (_dir, path) = tables(&format!("{all}{more}"));
        let text = Stream::read(&path).unwrap_err().to_string();
        assert!(text.contains(says) && text.contains("stream.toml, line "), "{text}");
    }
    let (_dir, path) = tables(&(alone(2, "") + &alone(2, "").replace("kernels", "# kernels")));
    let text = Stream::read(&path).unwrap_err().to_string();
    assert!(text.contains("s.mbox, commit 2, is the fix of line"), "{text}");
}

#[test]
fn the_sum_of_a_fix_is_not_that_of_its_mail() {
    let sums = |name: &str, text: &str| {
        let (dir, path) = put(GOOD);
        fs::write(dir.path().join(name), text).unwrap();
        let fix = Stream::read(&path).unwrap().versions[0].fixes[0].clone();
        (fix.sha256, fix.hunks_sha256)
    };
    let plain = sums("fixes/a.patch", &patch("a"));
    let mail = sums("fixes/a.patch", &patch("a").replacen("\n\n", "\n\nReviewed-by: A <a@b>\n", 1));
    assert!(plain.0 != mail.0 && plain.1 == mail.1);
    assert_ne!(sums("fixes/a.patch", &patch("other")).1, plain.1);
}

/// A patch that is changed behind the check does not come into a live patch.
#[test]
fn a_patch_that_changes_meanwhile() {
    let (_dir, path) = put(GOOD);
    let stream = Stream::read(&path).unwrap();
    let (since, fix) = stream.fixes(&stream.kernels[0], stream.versions[0].version)[0];
    let label = fix.label(since);
    let mut read = fix::parts("a.patch", patch("a").as_bytes()).unwrap();
    crate::pipeline::label(&mut read, std::slice::from_ref(&label)).unwrap();
    assert_eq!((read[0].fix.title.as_str(), read[0].fix.since.as_deref()), ("a", Some("1-1")));
    read[0].fix.sha256 = "other".into();
    let error = crate::pipeline::label(&mut read, &[label]).unwrap_err().to_string();
    assert!(error.contains("a.patch was changed"), "{error}");
}
