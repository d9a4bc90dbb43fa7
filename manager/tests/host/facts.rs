// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend status, cve and uname: what is fixed, until when, and what is to be done.

use super::streams::{at, available, fix, install, kernel, missing, note, old_fix, stream, stuck, NOW};
use super::system::{name, Plan, System, RELEASE};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::fs;

/// Version 1-9, which fixes two CVEs, installed and loaded.
fn patched() -> System {
    let system = at(System::new(), NOW);
    let fixes = [fix("one", &["CVE-2026-1001"], "1-1"), fix("two", &["CVE-2026-1002"], "1-9")];
    install(&system, "1-9", &fixes, stream("1-9"));
    system.kmend(&["load", "--all"]).ends(0);
    system
}

#[track_caller]
fn verdict(system: &System, code: i32, expected: &str) {
    let said = system.kmend(&["status"]).ends(code);
    let first = said.out.lines().next().unwrap();
    assert_eq!(first, expected, "{}", said.out);
}

#[test]
fn what_is_fixed_and_until_when_is_told() {
    let system = patched();
    let n = name("1-9");
    let said = system.kmend(&["status"]).ends(0);
    assert_eq!(
        said.out,
        format!(
            "patched: {n} is in force, 2 CVEs are fixed live; 1 CVE cannot be fixed live and takes a newer kernel\n\
             kernel: {RELEASE} (x86_64), build id abcd0102\n\
             signatures: nothing on this host checks who made a live patch\n\
             fixed live: 2 CVEs: CVE-2026-1001, CVE-2026-1002\n\
             not fixed live: 1 CVE; a newer kernel and a reboot may fix it\n  CVE-2026-3003: it changes the layout \
             of struct sock\n\
             live patches until: 2027-09-01, 280 days from today\n\
             loaded: {n} [enabled], version 1-9\n  fix: one\n  fix: two\ninstalled: {n}, version 1-9\n"
        )
    );
}

#[test]
fn long_lists_are_cut_in_the_text_and_whole_in_json() {
    let system = at(System::new(), NOW);
    let fixes: Vec<Value> =
        (1000..1025).map(|n| fix(&format!("fix {n}"), &[&format!("CVE-2026-{n}")], "1-1")).collect();
    let mut stream = stream("1-9");
    let missing: Vec<Value> =
        (2000..2022).map(|n| json!({"cve": format!("CVE-2026-{n}"), "reason": "layout"})).collect();
    stream["not_carried"] = json!(missing);
    install(&system, "1-9", &fixes, stream);
    system.kmend(&["load", "--all"]).ends(0);
    let said = system.kmend(&["status"]).ends(0);
    let said = said
        .says("CVE-2026-1019, … and 5 more; `kmend cve` lists all\n")
        .says("  fix: fix 1019\n  … and 5 more; `kmend info");
    let said = said.says("  CVE-2026-2019: layout\n  … and 2 more; `kmend cve` lists all\n");
    assert!(
        !said.out.contains("CVE-2026-1020") && !said.out.contains("fix 1020") && !said.out.contains("CVE-2026-2020")
    );
    let json: Value = serde_json::from_str(&system.kmend(&["status", "--json"]).ends(0).out).unwrap();
    assert_eq!(json["fixed_live"].as_array().unwrap().len(), 25);
    assert_eq!(json["not_in_stream"].as_array().unwrap().len(), 22);
    assert_eq!(system.kmend(&["cve"]).ends(0).out.lines().count(), 25 + 22 + 1);
}

#[test]
fn the_last_day_is_not_over_and_the_next_one_is() {
    let system = patched();
    at_clock(&system, "2027-09-01T23:59:59Z");
    system.kmend(&["status"]).ends(0).says("live patches until: 2027-09-01, today is the last day\n");
    at_clock(&system, "2027-09-02T00:00:00Z");
    let n = name("1-9");
    verdict(
        &system,
        5,
        &format!(
            "expired: {n} is in force, but live patches for this kernel ended on 2027-09-01; install a newer kernel \
             and reboot"
        ),
    );
    system.kmend(&["status"]).says("live patches until: 2027-09-01, over for 1 day\n");
    system.kmend(&["status", "--nagios"]).ends(2).says("KMEND CRITICAL - expired: ").says(" days_left=-1\n");
}

fn at_clock(system: &System, now: &str) {
    fs::write(system.root().join("clock"), now).unwrap();
}

#[test]
fn an_update_is_told_until_it_is_installed() {
    let system = patched();
    available(&system, Some("1-9"));
    system.kmend(&["status"]).ends(0).says("available: 1-9 (checked 2026-11-25)\n");
    available(&system, Some("1-10"));
    let n = name("1-9");
    verdict(
        &system,
        3,
        &format!("update available: version 1-10 can be had, {n} is in force; `kmend subscribe install` installs it"),
    );
    install(&system, "1-10", &[], stream("1-10"));
    verdict(
        &system,
        3,
        &format!("outdated: {} is installed, {n} is in force; `kmend load --all` loads what fits", name("1-10")),
    );
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["status"]).ends(0);
}

#[test]
fn without_anything_installed_a_check_tells_unsupported_from_not_patched() {
    let system = at(System::new(), NOW);
    let none = "no live patch is in force, and none is installed for this kernel";
    verdict(&system, 2, &format!("not patched: {none}"));
    available(&system, None);
    let asked = "there was none for it when that was checked, 2026-11-25";
    verdict(&system, 7, &format!("unsupported: {none}; {asked}"));
    available(&system, Some("0"));
    verdict(&system, 0, "nothing to patch yet: the stream of this kernel has brought no live patch yet");
    available(&system, Some("1-3"));
    verdict(&system, 2, &format!("not patched: {none}; version 1-3 can be had; `kmend subscribe install` installs it"));
    // Something is there for this kernel, but what?
    available(&system, Some("new"));
    verdict(&system, 2, &format!("not patched: {none}"));
    system.kmend(&["status"]).says("remark: /var/lib/kmend/available.json says version \"new\" of ");
}

#[test]
fn what_a_reboot_alone_helps_is_told_and_nothing_else_is() {
    // The module of a live patch that was taken back by force cannot be loaded again.
    let system = patched();
    let n = name("1-9");
    system.kmend(&["unload", &n]).ends(0);
    stuck(&system, &n);
    verdict(
        &system,
        6,
        &format!(
            "reboot needed: {n} was taken back and is stuck in memory until a reboot; no live patch is in force; reboot, if possible into a newer kernel, to resolve this"
        ),
    );
    system.kmend(&["status"]).says(&format!("stuck in memory: {n}: "));
    // A newer version can: that comes first, and then all is well again.
    install(&system, "1-10", &[], stream("1-10"));
    let said = system.kmend(&["status"]).ends(3);
    assert!(said.out.starts_with("installed but not loaded: kpatch_5_14_0_362_8_1_1_10; "), "{}", said.out);
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["status"]).ends(0).says(&format!("stuck in memory: {n}: "));
}

#[test]
fn a_version_that_was_set_aside_is_not_advised() {
    let system = patched();
    install(&system, "1-10", &[fix("three", &["CVE-2026-1003"], "1-10")], stream("1-10"));
    let aside = json!({"module": name("1-10"), "release": RELEASE, "when": NOW, "reason": "the system went down"});
    let other = json!({"module": name("1-9"), "release": "another", "when": NOW, "reason": "x"});
    note(&system, "breaker.json", json!({"attempt": null, "set_aside": [aside, other]}));
    verdict(
        &system,
        6,
        &format!(
            "reboot needed: {} was set aside and is not loaded any more; in force: {}; a newer version, or a newer \
             kernel and a reboot, helps; `kmend retry {}` loads it anyway",
            name("1-10"),
            name("1-9"),
            name("1-10")
        ),
    );
    system.kmend(&["status"]).says("  set aside: the system went down (2026-11-25T17:00:00Z)\n");
    // With nothing in force the older one is what there is.
    system.kmend(&["unload", "--all"]).ends(0);
    let said = system.kmend(&["status"]).ends(3);
    assert!(said.out.starts_with("installed but not loaded: kpatch_5_14_0_362_8_1_1_9; "), "{}", said.out);
    system.kmend(&["load", &name("1-9")]).ends(0);
    available(&system, Some("1-11"));
    let said = system.kmend(&["status"]).ends(3);
    assert!(said.out.starts_with("update available: version 1-11 can be had"), "{}", said.out);
}

#[test]
fn cves_that_take_a_newer_kernel_are_a_reason_to_reboot_once_it_is_there() {
    let system = patched();
    kernel(&system, RELEASE);
    kernel(&system, "5.14.0-70.1.1.el9.x86_64");
    // A folder that a removed kernel left behind.
    fs::create_dir_all(system.root().join("lib/modules/5.14.0-999.el9_3.x86_64")).unwrap();
    system.kmend(&["status"]).ends(0);
    kernel(&system, "5.14.0-362.13.1.el9_3.x86_64");
    verdict(
        &system,
        6,
        &format!(
            "reboot needed: {} is in force, 2 CVEs are fixed live, but 1 CVE cannot be fixed live, and a newer kernel is \
             installed: reboot into 5.14.0-362.13.1.el9_3.x86_64",
            name("1-9")
        ),
    );
}

#[test]
fn failures_are_shown_until_the_module_is_in_force() {
    let system = patched();
    let failure = |module: &str, release: &str, reason: &str| json!({"when": NOW, "what": "load", "module": module, "release": release, "reason": reason});
    let failures = [
        failure(&name("1-9"), RELEASE, "in force by now"),
        failure("old", "5.14.0-70.el9.x86_64", "another kernel"),
        failure("new\x1b[2J", RELEASE, "busy\n  what you can do: wait"),
    ];
    note(&system, "failures.json", json!({"failures": failures}));
    let said = system.kmend(&["status"]).ends(0);
    let lines: Vec<&str> = said.out.lines().filter(|l| l.starts_with("failed: ")).collect();
    assert_eq!(lines, ["failed: load of new?[2J, 2026-11-25T17:00:00Z: busy"]);
}

#[test]
fn damaged_notes_hide_nothing() {
    let system = patched();
    for file in ["failures.json", "available.json", "breaker.json"] {
        for text in ["", "{", "[]", "\0", "{\"failures\": 1, \"kernels\": 1, \"set_aside\": 1}"] {
            note(&system, file, text);
            let said = system.kmend(&["status"]).ends(0);
            said.says("patched: ").says(&format!("remark: /var/lib/kmend/{file} is damaged; "));
        }
        fs::remove_file(system.root().join("var/lib/kmend").join(file)).unwrap();
    }
    let attempt = json!({"module": "m", "release": RELEASE, "boot_id": "a", "when": NOW});
    note(&system, "breaker.json", json!({"attempt": attempt, "set_aside": []}));
    fs::create_dir_all(system.root().join("proc/sys/kernel/random")).unwrap();
    let boot = |id: &str| fs::write(system.root().join("proc/sys/kernel/random/boot_id"), id).unwrap();
    boot("b\n");
    system
        .kmend(&["status"])
        .ends(0)
        .says("remark: the system went down while m was being loaded, 2026-11-25T17:00:00Z\n");
    boot("a\n");
    assert!(!system.kmend(&["status"]).ends(0).out.contains("remark"));
}

#[test]
fn each_cve_is_one_of_five() {
    let system = patched();
    let three = fix("three", &["CVE-2026-1003"], "1-10");
    install(&system, "1-10", &[fix("one", &["CVE-2026-1001"], "1-1"), three], stream("1-10"));
    let (n, m) = (name("1-9"), name("1-10"));
    let known = [
        ("CVE-2026-1002", 0, format!("fixed live by {n} since version 1-9, important")),
        ("cve-2026-0007", 0, "fixed by the kernel itself".into()),
        (
            "CVE-2026-1003",
            2,
            format!(
                "not loaded: {m} fixes it since version 1-10, and is installed but not in force, important; see `kmend \
                 status`"
            ),
        ),
        (
            "CVE-2026-3003",
            2,
            "not in this stream: it changes the layout of struct sock; a newer kernel and a reboot may fix it".into(),
        ),
        ("CVE-2026-9999", 3, "unknown: no live patch that is in force or installed for this kernel names it".into()),
    ];
    for (id, code, text) in &known {
        let said = system.kmend(&["cve", id]).ends(*code);
        assert_eq!(said.out, format!("{}: {text}\n", id.to_uppercase()));
    }
    let ask = |ids: &[&str]| system.kmend(&[&["cve"], ids].concat());
    ask(&["CVE-2026-1001", "CVE-2026-0007"]).ends(0);
    ask(&["CVE-2026-1001", "CVE-2026-9999"]).ends(3);
    ask(&["CVE-2026-9999", "CVE-2026-3003"]).ends(2);
    for bad in ["CVE-2026-1", "2026-1001", "CVE-2026-1001;id", "../x"] {
        let said = ask(&[bad]).ends(1);
        assert_eq!(said.out, "");
        assert!(said.err.contains("CVE-2026-12345"), "{}", said.err);
    }
    let all = ask(&[]).ends(0);
    let ids: Vec<&str> = all.out.lines().map(|l| l.split(':').next().unwrap()).collect();
    assert_eq!(ids, ["CVE-2026-0007", "CVE-2026-1001", "CVE-2026-1002", "CVE-2026-1003", "CVE-2026-3003"]);
    let json: Value = serde_json::from_str(&ask(&["CVE-2026-3003", "CVE-2026-1002", "--json"]).ends(2).out).unwrap();
    assert_eq!(
        json["cves"][1],
        json!({"cve": "CVE-2026-1002", "state": "fixed-live", "module": n, "since": "1-9", "severity": "important",
            "reason": null})
    );
    assert_eq!((&json["schema_version"], &json["cves"][0]["state"]), (&json!(1), &json!("not-in-stream")));
}

/// Three answers: fixed live, of no concern, not fixed; and what is said where a manifest does not tell them apart.
#[test]
fn a_fix_that_changes_no_code_is_not_fixed_live() {
    let system = at(System::new(), NOW);
    let fixes = [
        fix("one", &["CVE-2026-1001"], "1-10"),
        missing("two", &["CVE-2026-1002"], "not-built", "f.c: it needs CONFIG_F"),
        missing("three", &["CVE-2026-1003"], "same-code", "g.c compiles to the same code with and without it"),
        missing("four", &["CVE-2026-1004"], "undone", "later fixes take back what it changes: h in h.c"),
    ];
    install(&system, "1-10", &fixes, stream("1-10"));
    system.kmend(&["load", "--all"]).ends(0);
    let ask = |ids: &[&str]| system.kmend(&[&["cve"], ids].concat());
    for (id, code, text) in [
        ("CVE-2026-1001", 0, format!("fixed live by {} since version 1-10, important", name("1-10"))),
        ("CVE-2026-1002", 0, "does not concern this kernel: f.c: it needs CONFIG_F".into()),
        ("CVE-2026-1003", 0, "does not concern this kernel: g.c compiles to the same code with and without it".into()),
        (
            "CVE-2026-1004",
            2,
            "not in this stream: later fixes take back what it changes: h in h.c; a newer kernel and a reboot may fix it"
                .into(),
        ),
    ] {
        assert_eq!(ask(&[id]).ends(code).out, format!("{id}: {text}\n"));
    }
    ask(&["CVE-2026-1002", "CVE-2026-9999"]).ends(3);
    let json: Value = serde_json::from_str(&ask(&["CVE-2026-1002", "--json"]).ends(0).out).unwrap();
    assert_eq!(
        (&json["cves"][0]["state"], &json["cves"][0]["reason"]),
        (&json!("not-concerned"), &json!("f.c: it needs CONFIG_F"))
    );
    let json: Value = serde_json::from_str(&system.kmend(&["status", "--json"]).ends(0).out).unwrap();
    assert_eq!(json["fixed_live"], json!(["CVE-2026-1001"]));
    let ids = |list: &Value| list.as_array().unwrap().iter().map(|one| one["cve"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&json["not_concerned"]), ["CVE-2026-1002", "CVE-2026-1003"]);
    assert_eq!(ids(&json["not_in_stream"]), ["CVE-2026-1004", "CVE-2026-3003"]);
    assert_eq!(json["loaded"][0]["fixes"][1]["effect"], "not-built");
    assert_eq!(json["remarks"], json!([]));
    let said = system.kmend(&["status"]).ends(0);
    said.says("1 CVE is fixed live; 2 CVEs cannot be fixed live")
        .says("not concerned: 2 CVEs; their fixes change no code of this kernel\n  CVE-2026-1002: f.c: it needs CONFIG_F\n")
        .says("  fix: one\n  fix: two (does not concern this kernel: f.c: it needs CONFIG_F)\n")
        .says("  fix: four (not fixed: later fixes");
    system
        .kmend(&["status", "--prometheus"])
        .ends(0)
        .says("kmend_cves_fixed_live 1\n")
        .says("kmend_cves_not_concerned 2\n");
    system.kmend(&["info", &name("1-10")]).ends(0).says("two (a.patch): does not concern this kernel: f.c");
}

#[test]
fn an_older_manifest_keeps_working_and_is_told_as_one() {
    let system = at(System::new(), NOW);
    install(&system, "1-9", &[old_fix("one", &["CVE-2026-1001"], "1-9")], stream("1-9"));
    system.kmend(&["load", "--all"]).ends(0);
    let said = system.kmend(&["cve", "CVE-2026-1001"]).ends(0);
    said.says("CVE-2026-1001: fixed live by ").says("from the manifest of an older kmend-build");
    let json: Value = serde_json::from_str(&system.kmend(&["status", "--json"]).ends(0).out).unwrap();
    assert_eq!((&json["verdict"], &json["fixed_live"]), (&json!("patched"), &json!(["CVE-2026-1001"])));
    assert_eq!(json["loaded"][0]["fixes"][0]["effect"], Value::Null);
    assert!(json["remarks"][0].as_str().unwrap().contains("older kmend-build"), "{json}");
    // One without CVEs claims nothing.
    install(&system, "1-10", &[old_fix("one", &[], "1-9")], stream("1-10"));
    system.kmend(&["load", "--all"]).ends(0);
    let json: Value = serde_json::from_str(&system.kmend(&["status", "--json"]).ends(0).out).unwrap();
    assert_eq!(json["remarks"], json!([]), "{json}");
}

#[test]
fn only_what_is_in_force_is_claimed() {
    let functions = BTreeMap::from([(name("1-9"), vec!["vmlinux/f,0".to_string()])]);
    let system = at(System::with(Plan { functions, ..Plan::default() }), NOW);
    let mut leveled = stream("1-9");
    leveled["level"] = json!("5.14.0-362.13.1");
    install(&system, "1-9", &[fix("one", &["CVE-2026-1001"], "1-9")], leveled);
    let n = name("1-9");
    let uname = |args: &[&str]| system.kmend(&[&["uname"], args].concat()).ends(0).out;
    assert_eq!((uname(&[]), uname(&["-r"])), (format!("{RELEASE}\n"), format!("{RELEASE}\n")));
    system.kmend(&["cve", "CVE-2026-1001"]).ends(2).says("not loaded");
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(uname(&[]), format!("{RELEASE} live={n} level=5.14.0-362.13.1\n"));
    assert_eq!(uname(&["-r"]), "5.14.0-362.13.1\n");
    system.kmend(&["status"]).ends(0).says("level: 5.14.0-362.13.1, from the manifest of the live patch in force\n");
    // A second one in force without a level takes nothing away; one in transition counts for nothing.
    system.loaded("own", true, false);
    assert_eq!(uname(&[]), format!("{RELEASE} live={n},own level=5.14.0-362.13.1\n"));
    for (enabled, transition) in [(true, true), (false, true), (false, false)] {
        system.loaded(&n, enabled, transition);
        assert_eq!(uname(&[]), format!("{RELEASE} live=own\n"));
        assert_eq!(uname(&["-r"]), format!("{RELEASE}\n"));
        let said = system.kmend(&["cve", "CVE-2026-1001"]);
        assert_eq!(said.code, 2, "{}", said.out);
        assert!(!system.kmend(&["status"]).out.contains("fixed live: "));
    }
    // A manifest for another build of this kernel says nothing of this one.
    system.loaded(&n, true, false);
    fs::write(system.root().join("sys/kernel/notes"), super::ko::note(b"GNU\0", 3, &[9, 9])).unwrap();
    system.kmend(&["cve", "CVE-2026-1001"]).ends(3);
    system
        .kmend(&["status"])
        .says("its manifest is for the kernel with build id abcd0102, and the one that runs has 0909");
}

#[test]
fn nagios_gets_one_line() {
    let system = patched();
    let n = name("1-9");
    let said = system.kmend(&["status", "--nagios"]).ends(0);
    assert_eq!(
        said.out,
        format!(
            "KMEND OK - patched: {n} is in force, 2 CVEs are fixed live; 1 CVE cannot be fixed live and takes a newer \
             kernel | fixed_live=2 not_in_stream=1 failures=0 days_left=280\n"
        )
    );
    available(&system, Some("2-1"));
    system.kmend(&["status", "--nagios"]).ends(1).says("KMEND WARNING - update available: ");
    system.kmend(&["unload", "--all"]).ends(0);
    system.kmend(&["status", "--nagios"]).ends(2).says("KMEND CRITICAL - installed but not loaded: ");
    fs::remove_file(system.root().join("proc/sys/kernel/osrelease")).unwrap();
    system.kmend(&["status", "--nagios"]).ends(3).says("KMEND UNKNOWN - /proc/sys/kernel/osrelease does not say");
}

#[test]
fn prometheus_gets_a_whole_file_or_none() {
    let system = patched();
    let said = system.kmend(&["status", "--prometheus"]).ends(0);
    for line in [
        "kmend_verdict{verdict=\"patched\"} 1".to_string(),
        "kmend_verdict{verdict=\"expired\"} 0".into(),
        format!("kmend_kernel_info{{release=\"{RELEASE}\",machine=\"x86_64\"}} 1"),
        format!("kmend_live_patch_info{{module=\"{}\",version=\"1-9\",state=\"enabled\"}} 1", name("1-9")),
        "kmend_cves_fixed_live 2".into(),
        "kmend_cves_not_in_stream 1".into(),
        "kmend_update_available 0".into(),
        // 2027-09-02T00:00:00Z
        "kmend_supported_until_timestamp_seconds 1819843200".into(),
    ] {
        assert!(said.out.lines().any(|l| l == line), "{line} is not in:\n{}", said.out);
    }
    let folder = system.root().join("textfile");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("kmend.prom");
    let file = path.to_str().unwrap();
    let written = system.kmend(&["status", "--prometheus", file]).ends(0);
    assert_eq!((written.out.as_str(), fs::read_to_string(&path).unwrap()), ("", said.out));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    // A verdict other than patched is no failure of the timer that writes the file; a file that cannot be written is.
    system.kmend(&["unload", "--all"]).ends(0);
    system.kmend(&["status", "--prometheus", file]).ends(0);
    assert!(fs::read_to_string(&path).unwrap().contains("kmend_verdict{verdict=\"not-loaded\"} 1\n"));
    fs::create_dir(folder.join("dir.prom")).unwrap();
    system
        .kmend(&["status", "--prometheus", folder.join("dir.prom").to_str().unwrap()])
        .ends(1)
        .complains("cannot write");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    for two in [["--json", "--nagios"], ["--nagios", "--prometheus"]] {
        system.kmend(&["status", two[0], two[1]]).ends(1).complains("cannot be used with");
    }
}

#[test]
fn an_old_check_is_told() {
    let system = at(System::new(), NOW);
    install(&system, "1-3", &[fix("fix", &["CVE-2026-1001"], "1-3")], stream("1-3"));
    system.kmend(&["load", "--all"]).ends(0);
    let checked = |day: &str, version: &str| {
        let kernels = json!({RELEASE: {"version": version}});
        note(&system, "available.json", json!({"checked": day, "kernels": kernels}));
    };
    system.kmend(&["status"]).ends(0);
    for (day, ago) in [("2026-11-24T09:00:00Z", "1 day ago"), ("2026-11-11", "14 days ago")] {
        checked(day, "1-3");
        system.kmend(&["status"]).ends(0).says(&format!("available: 1-3 (checked {day}, {ago})\n"));
    }
    // A host whose clock was set back, and a note that says no day, are no alarm.
    for day in ["2026-11-26", "yesterday"] {
        checked(day, "1-3");
        system.kmend(&["status"]).ends(0).says(&format!("available: 1-3 (checked {day})\n"));
    }
    checked("2024-12-25", "1-3");
    system.kmend(&["status"]).ends(9).says("old check: kpatch_").says("asked 700 days ago; `kmend subscribe check`");
    system.kmend(&["status", "--nagios"]).ends(1).says("KMEND WARNING - old check: ");
    system.kmend(&["status", "--json"]).ends(9).says("\"checked_days\": 700");
    let said = system.kmend(&["status", "--prometheus"]).ends(0).says("kmend_check_age_days 700\n");
    said.says("kmend_verdict{verdict=\"old-check\"} 1\n");
    system.kmend(&["status", "--max-age", "700"]).ends(0);
    system.kmend(&["status", "--max-age", "699", "--json"]).ends(9);
    system.kmend(&["status", "--json", "--nagios"]).ends(1).complains("cannot be used with");
    // What there is to do comes first.
    checked("2024-12-25", "1-4");
    system.kmend(&["status"]).ends(3).says("update available: ");
}
