// SPDX-License-Identifier: GPL-2.0-or-later
//! Each rule of the ledger is kept once and broken once.

use super::super::ledger::{Called, ReleasedFix};
use super::super::values::OneLine;
use super::super::StreamFix;
use super::*;
use crate::hooks::{Kind, State};
use crate::manifest::CallbackFacts;
use std::collections::BTreeSet;

fn version(release: u32) -> Version {
    Version { version: 1, release }
}

fn fix(name: &str, sha256: &str, replaces: Option<&str>) -> StreamFix {
    StreamFix {
        line: 1,
        path: name.into(),
        commit: None,
        sha256: format!("file {sha256}"),
        hunks_sha256: sha256.into(),
        title: name.into(),
        titled: false,
        cves: Vec::new(),
        severity: None,
        tickets: Vec::new(),
        kernels: None,
        allow_layout: Vec::new(),
        allow_unproven: Vec::new(),
        replaces: replaces.map(Into::into),
    }
}

fn release(n: u32, fixes: Vec<StreamFix>) -> Release {
    Release {
        version: version(n),
        line: 1,
        date: "2026-10-02".to_string().try_into().unwrap(),
        level: None,
        hooks: None,
        callbacks_dropped: None,
        fixes,
    }
}

fn stream(versions: Vec<Release>) -> Stream {
    let kernel = Kernel {
        target: "tree:x".into(),
        release: None,
        supported_until: None,
        level: None,
        fixed: BTreeSet::new(),
        not_carried: Vec::new(),
    };
    Stream {
        path: "stream.toml".into(),
        name: "s".into(),
        packager: "A <a@b>".into(),
        kernels: vec![kernel],
        versions,
        vendor: None,
        url: None,
        packages: None,
        limit: Default::default(),
        valid_days: 90,
    }
}

fn entry(n: u32, fixes: &[(&str, &str)]) -> Entry {
    let fix = |(file, sha256): &(&str, &str)| ReleasedFix {
        file: file.to_string(),
        commit: None,
        sha256: format!("file {sha256}"),
        hunks_sha256: Some(sha256.to_string()),
        title: format!("title of {file}"),
        cves: Vec::new(),
        effect: None,
        reason: None,
    };
    Entry {
        version: version(n),
        date: "2026-10-02".into(),
        release: "7.2.12".into(),
        build_id: "aa".into(),
        module: "m".into(),
        module_sha256: "sha of the module".into(),
        fixes: fixes.iter().map(fix).collect(),
        states: Vec::new(),
        callbacks: Vec::new(),
        packages: Vec::new(),
    }
}

fn codes(refusals: &[Refusal]) -> Vec<(&str, &str)> {
    refusals.iter().map(|r| (r.code.as_str(), r.symbol.as_str())).collect()
}

fn of_fixes(stream: &Stream, released: &[Entry]) -> Vec<(String, String)> {
    let refusals = fixes(stream, &stream.kernels[0], stream.versions.last().unwrap(), released);
    codes(&refusals).into_iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

fn is(found: Vec<(String, String)>, expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn fixes_stay() {
    let both = stream(vec![release(1, vec![fix("a", "A", None)]), release(2, vec![fix("b", "B", None)])]);
    is(of_fixes(&both, &[]), &[]);
    is(of_fixes(&both, &[entry(1, &[("a", "A")])]), &[]);
    is(of_fixes(&both, &[entry(1, &[("gone", "G")])]), &[("released-fix-dropped", "gone")]);
    is(of_fixes(&both, &[entry(1, &[("a", "old")])]), &[("released-fix-changed", "a")]);
    // What was released later does not count here; but it has to be in the file.
    let later = [entry(1, &[("a", "A")]), entry(3, &[("c", "C")])];
    is(of_fixes(&both, &later), &[("released-version-missing", "m")]);
}

#[test]
fn a_fix_takes_the_place_of_another() {
    let edited = stream(vec![release(1, vec![fix("a", "new", Some("old"))]), release(2, vec![fix("b", "B", None)])]);
    is(of_fixes(&edited, &[entry(1, &[("a", "old")])]), &[]);
    is(of_fixes(&edited, &[]), &[("replaces-nothing", "a")]);
    let added = stream(vec![
        release(1, vec![fix("a", "A", None), fix("b", "B", None)]),
        release(2, vec![fix("a2", "A2", Some("A"))]),
    ]);
    let order = |n| -> Vec<String> {
        added.fixes(&added.kernels[0], version(n)).iter().map(|(v, f)| format!("{v} {}", f.hunks_sha256)).collect()
    };
    assert_eq!(order(1), ["1-1 A", "1-1 B"]);
    assert_eq!(order(2), ["1-2 A2", "1-1 B"]);
    is(of_fixes(&added, &[entry(1, &[("a", "A"), ("b", "B")])]), &[]);
}

#[test]
fn the_mail_around_the_hunks_is_no_change() {
    let with = |file: &str, hunks: &str| StreamFix { sha256: file.into(), ..fix("a", hunks, None) };
    let first = |fix: StreamFix| stream(vec![release(1, vec![fix]), release(2, vec![fix_b()])]);
    let released = [entry(1, &[("a", "A")])];
    is(of_fixes(&first(with("file with a trailer", "A")), &released), &[]);
    is(of_fixes(&first(with("file A", "other hunks")), &released), &[("released-fix-changed", "a")]);
    // What an older program has released has the sum of the file alone.
    let mut old = released.clone();
    old[0].fixes[0].hunks_sha256 = None;
    is(of_fixes(&first(with("file A", "A")), &old), &[]);
    is(of_fixes(&first(with("file with a trailer", "A")), &old), &[("released-fix-changed", "a")]);
    // Either sum names what is replaced.
    for sum in ["A", "file A"] {
        is(of_fixes(&first(fix("a", "new", Some(sum))), &released), &[]);
    }
    is(of_fixes(&first(fix("a", "new", Some("file A"))), &old), &[]);
}

fn fix_b() -> StreamFix {
    fix("b", "B", None)
}

#[test]
fn commits_of_one_file() {
    let commit =
        |n: usize, hunks: &str| StreamFix { commit: Some(n), sha256: "mbox".into(), ..fix("a.mbox", hunks, None) };
    let both = stream(vec![release(1, vec![commit(1, "one"), commit(2, "two")]), release(2, vec![fix_b()])]);
    let mut released = [entry(1, &[("a.mbox", "one"), ("a.mbox", "two")])];
    (released[0].fixes[0].commit, released[0].fixes[1].commit) = (Some(1), Some(2));
    is(of_fixes(&both, &released), &[]);
    let changed = stream(vec![release(1, vec![commit(1, "one"), commit(2, "other")]), release(2, vec![fix_b()])]);
    is(of_fixes(&changed, &released), &[("released-fix-changed", "a.mbox")]);
    let less = stream(vec![release(1, vec![commit(1, "one")]), release(2, vec![fix_b()])]);
    is(of_fixes(&less, &released), &[("released-fix-dropped", "a.mbox")]);
    // An older program took the whole file for one fix.
    let mut old = [entry(1, &[("a.mbox", "")])];
    (old[0].fixes[0].sha256, old[0].fixes[0].hunks_sha256) = ("mbox".into(), None);
    is(of_fixes(&both, &old), &[]);
    // What takes the place of the file takes that of all its commits.
    let mut stream = both.clone();
    stream.versions[1].fixes = vec![fix_b(), fix("c", "C", Some("mbox"))];
    let order = |n| -> Vec<String> {
        stream.fixes(&stream.kernels[0], version(n)).iter().map(|(v, f)| format!("{v} {}", f.hunks_sha256)).collect()
    };
    assert_eq!(order(1), ["1-1 one", "1-1 two"]);
    assert_eq!(order(2), ["1-2 C", "1-2 B"]);
    stream.versions[1].fixes = vec![fix("c", "C", Some("two"))];
    let order = stream.fixes(&stream.kernels[0], version(2));
    assert_eq!(order.iter().map(|(_, f)| f.hunks_sha256.as_str()).collect::<Vec<_>>(), ["one", "C"]);
}

#[test]
fn a_fix_for_some_kernels_is_not_for_others() {
    let mut stream = stream(vec![release(1, vec![fix("a", "A", None), fix("b", "B", None)])]);
    stream.versions[0].fixes[1].kernels = Some(vec!["tree:y".into()]);
    assert_eq!(stream.fixes(&stream.kernels[0], version(1)).len(), 1);
    stream.versions.push(release(2, vec![fix("c", "C", None)]));
    is(of_fixes(&stream, &[entry(1, &[("a", "A"), ("b", "B")])]), &[("released-fix-dropped", "b")]);
}

fn manifest() -> Manifest {
    serde_json::from_str(
        r#"{"schema":1,"name":"m","module_sha256":"sha of the module","replace":true,"target":{"name":"tree:x",
            "arch":"x86_64","release":"7.2.12","version":"","build_id":"aa"},"fixes":[],"units":[],
            "livepatch_symbols":[],"livepatch_relocations":0,"exports":[],"notes":[],"tools":{}}"#,
    )
    .unwrap()
}

#[test]
fn a_released_version_is_not_made_anew() {
    let mut other = manifest();
    other.module_sha256 = Some("other".into());
    let second = release(2, Vec::new());
    assert_eq!(codes(&module(&manifest(), &second, &[entry(2, &[])])), []);
    assert_eq!(codes(&module(&other, &second, &[entry(2, &[])])), [("released-version-changed", "m")]);
    assert_eq!(codes(&module(&other, &second, &[entry(1, &[]), entry(3, &[])])), [("released-version-newer", "m")]);
    let mut elsewhere = entry(1, &[]);
    elsewhere.build_id = "bb".into();
    assert_eq!(codes(&module(&manifest(), &second, &[elsewhere])), [("released-for-another-build", "m")]);
}

#[test]
fn states_stay() {
    let with = |states: &[(u64, u32)]| states.iter().map(|&(id, version)| State { id, version }).collect::<Vec<_>>();
    let mut before = entry(1, &[]);
    before.states = with(&[(1, 2)]);
    for (states, expected) in [
        (with(&[]), vec![("state-missing", "state 0x1")]),
        (with(&[(2, 2)]), vec![("state-missing", "state 0x1")]),
        (with(&[(1, 1)]), vec![("state-missing", "state 0x1")]),
        (with(&[(1, 2)]), vec![]),
        (with(&[(1, 3), (2, 1)]), vec![]),
    ] {
        let now = Manifest { states, ..manifest() };
        assert_eq!(codes(&module(&now, &release(2, Vec::new()), &[before.clone()])), expected);
    }
}

#[test]
fn callbacks_stay() {
    let mut before = entry(1, &[]);
    before.callbacks = vec![Called { object: "vmlinux".into(), kind: Kind::PostUnpatch }];
    let called = |object: &str, kind| CallbackFacts {
        object: object.into(),
        kind,
        function: "f".into(),
        source: "hooks.rs".into(),
    };
    let mut second = release(2, Vec::new());
    let missing = [("callback-missing", "post_unpatch of vmlinux")];
    for (callbacks, expected) in [
        (vec![], &missing[..]),
        (vec![called("nf", Kind::PostUnpatch), called("vmlinux", Kind::PrePatch)], &missing[..]),
        (vec![called("vmlinux", Kind::PostUnpatch)], &[][..]),
    ] {
        let now = Manifest { callbacks, ..manifest() };
        assert_eq!(codes(&module(&now, &second, &[before.clone()])), expected);
    }
    second.callbacks_dropped = Some(OneLine::try_from("nothing is left".to_string()).unwrap());
    assert_eq!(codes(&module(&manifest(), &second, &[before])), []);
}
