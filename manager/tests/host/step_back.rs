// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend step-back, and older versions loaded by name.

use super::ko::Ko;
use super::system::{file, name, Plan, System, RELEASE};
use std::collections::BTreeMap;

/// Installs a version whose manifest has these fixes and this besides.
fn version(system: &System, version: &str, titles: &[&str], more: &str) {
    let mut ko = Ko::with_manifest(&name(version), RELEASE, titles);
    ko.manifest = ko.manifest.map(|m| m.replace("\"unknown\":7", &format!("\"unknown\":7{more}")));
    system.installed(&file(version), &ko.bytes());
}

const CALLBACK: &str = r#","callbacks":[{"object":"vmlinux","kind":"post_unpatch","function":"f","source":"a.c"}]"#;
const STATE: &str = r#","states":[{"id":16,"version":2}]"#;

#[test]
fn a_step_back_lasts_over_boots_until_retry() {
    let system = System::new();
    version(&system, "1-8", &["one"], "");
    version(&system, "1-9", &["one", "two"], "");
    version(&system, "1-10", &["one", "two", "three"], "");
    system.kmend(&["load", "--all"]).ends(0);
    let said = system.kmend(&["step-back"]).ends(0);
    let said = said
        .complains("this is a step back")
        .says("no longer in force: three\n")
        .says(&format!("{} is set aside: it is not loaded at boot until `kmend retry", name("1-10")));
    assert!(!said.out.contains("two"), "{}", said.out);
    assert_eq!(system.in_force(), [(name("1-9"), true)]);
    system.kmend(&["shutdown-mark"]).ends(0);
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0).complains(&format!("{} is set aside", name("1-10")));
    assert_eq!(system.in_force(), [(name("1-9"), true)]);
    // Further, by its number.
    system.kmend(&["step-back", "1-8"]).ends(0).says("no longer in force: two\n");
    assert_eq!(system.in_force(), [(name("1-8"), true)]);
    system.kmend(&["step-back"]).ends(1).complains("no version that is not set aside older than").complains("unload");
    system.kmend(&["retry", &name("1-10")]).ends(0);
    assert_eq!(system.in_force(), [(name("1-10"), true)]);
    system.kmend(&["step-back", "1-7"]).ends(1).complains("no version 1-7 older than");
    system.kmend(&["step-back", "1-11"]).ends(1).complains("no version 1-11 older than");
}

#[test]
fn callbacks_and_states_that_the_older_one_lacks_are_a_refusal() {
    for (more, expected) in [
        (CALLBACK, "has a post_unpatch callback for vmlinux, kpatch_5_14_0_362_8_1_1_1 has none"),
        (STATE, "declares state 0x10, kpatch_5_14_0_362_8_1_1_1 does not"),
    ] {
        for args in [&["step-back"][..], &["load", "kpatch_5_14_0_362_8_1_1_1"]] {
            let system = System::new();
            version(&system, "1-1", &["one"], "");
            version(&system, "1-2", &["one", "two"], more);
            system.kmend(&["load", "--all"]).ends(0);
            let asked = system.asked().len();
            system
                .kmend(args)
                .ends(1)
                .complains(&format!("{}: it cannot take the place of", file("1-1")))
                .complains(expected)
                .complains("`kmend unload kpatch_5_14_0_362_8_1_1_2`");
            assert_eq!(system.asked().len(), asked, "the kernel is not asked");
            assert_eq!(system.in_force(), [(name("1-2"), true)]);
            assert_eq!(system.note("breaker.json")["set_aside"].as_array().map(Vec::len), Some(0));
            // If both have them, nothing rules it out.
            version(&system, "1-1", &["one"], more);
            system.kmend(args).ends(0);
            assert_eq!(system.in_force(), [(name("1-1"), true)]);
        }
    }
}

#[test]
fn what_the_kernel_refuses_leaves_the_newer_one_and_sets_nothing_aside() {
    let load = BTreeMap::from([(name("1-1"), [22].into())]);
    let system = System::with(Plan { load, ..Plan::default() });
    version(&system, "1-1", &[], "");
    version(&system, "1-2", &[], "");
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["step-back"]).ends(1).complains("livepatch refuses it");
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
    assert_eq!(system.note("breaker.json")["set_aside"].as_array().map(Vec::len), Some(0));
}

#[test]
fn without_anything_in_force_there_is_no_step_back() {
    let system = System::new();
    system.version("1-1");
    system.kmend(&["step-back"]).ends(1).complains("there is nothing to step back from");
    system.loaded("own", true, false);
    system.kmend(&["step-back"]).ends(1).complains("there is nothing to step back from");
}

#[test]
fn unload_says_which_fixes_are_no_longer_in_force() {
    let system = System::new();
    version(&system, "1-1", &["one", "two"], "");
    let mut ko = Ko::with_manifest(&name("1-2"), RELEASE, &["one"]);
    ko.manifest =
        ko.manifest.map(|m| m.replace("\"sha256\"", "\"cves\":[\"CVE-2026-1234\",\"CVE-2026-1235\"],\"sha256\""));
    system.installed(&file("1-2"), &ko.bytes());
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["unload", &name("1-2")]).ends(0).says("no longer in force: one (CVE-2026-1234, CVE-2026-1235)\n");
    system.kmend(&["load", &name("1-1")]).ends(0);
    system.kmend(&["unload", "--all"]).ends(0).says("no longer in force: one\nno longer in force: two\n");
}

#[test]
fn what_is_held_back_on_purpose_is_no_alarm() {
    let system = System::new();
    system.put("clock", "2026-11-25T10:00:00Z");
    version(&system, "1-9", &["one"], "");
    version(&system, "1-10", &["one", "two"], "");
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["step-back"]).ends(0);
    system.put("clock", "2026-11-25T11:00:00Z");
    let line = format!(
        "\nheld back: {n}: a step back at 2026-11-25T10:00:00Z; `kmend retry {n}` ends that\n",
        n = name("1-10")
    );
    for _ in 0..2 {
        let said = system.kmend(&["status"]).ends(0).says(&line);
        let first = format!("patched: {} is in force; held back: {}\n", name("1-9"), name("1-10"));
        assert!(said.out.starts_with(&first) && !said.out.contains("set aside"), "{}", said.out);
        system.kmend(&["status", "--nagios"]).ends(0).says("KMEND OK - patched: ");
        system.kmend(&["status", "--prometheus"]).ends(0).says("\nkmend_held_back 1\n");
        system.kmend(&["shutdown-mark"]).ends(0);
        system.boots_again();
        system.kmend(&["status"]).ends(3).says(&format!("installed but not loaded: {};", name("1-9"))).says(&line);
        system.kmend(&["load", "--all"]).ends(0);
    }
    let status: serde_json::Value = serde_json::from_str(&system.kmend(&["status", "--json"]).out).unwrap();
    assert_eq!(status["installed"][0]["held_back"], "2026-11-25T10:00:00Z");
    assert_eq!(status["installed"][1]["held_back"], serde_json::Value::Null);
    // Without the older one the host has nothing, and that is said.
    system.kmend(&["uninstall", &name("1-9")]).ends(0);
    system.kmend(&["shutdown-mark"]).ends(0);
    std::fs::remove_dir_all(system.root().join("var/lib/kmend/last-good")).unwrap();
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["status"]).ends(3).says(&format!(
        "installed but not loaded: {n} is held back by a step back, and no older version is in force; `kmend retry {n}` \
         loads it\n",
        n = name("1-10")
    ));
    let said = system.kmend(&["retry", &name("1-10")]).ends(0);
    assert_eq!(said.err, "");
    assert!(!system.kmend(&["status"]).ends(0).out.contains("held back"));
}

#[test]
fn a_crash_of_what_was_held_back_is_an_alarm_again() {
    let system = System::new();
    version(&system, "1-9", &[], "");
    version(&system, "1-10", &[], "");
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["step-back"]).ends(0);
    system.kmend(&["shutdown-mark"]).ends(0);
    system.kmend(&["retry", &name("1-10")]).ends(0);
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-9"), true)]);
    let said = system.kmend(&["status"]).ends(6).says("reboot needed").says("\n  set aside: the host went down");
    assert!(!said.out.contains("held back"), "{}", said.out);
}
