// SPDX-License-Identifier: GPL-2.0-or-later
//! Failed installs and loads stay to be seen.

use super::ko::Ko;
use super::system::{file, name, Plan, System, RELEASE};
use std::collections::BTreeMap;

fn kept(system: &System) -> Vec<String> {
    let note = system.note("failures.json");
    let list = note["failures"].as_array().cloned().unwrap_or_default();
    list.iter().map(|f| format!("{} {}", f["what"].as_str().unwrap(), f["module"].as_str().unwrap())).collect()
}

#[test]
fn a_failure_is_kept_until_the_same_goes_well() {
    // ENOEXEC, once.
    let load = BTreeMap::from([(name("1-2"), [8].into())]);
    let system = System::with(Plan { load, ..Plan::default() });
    system.put("clock", "2026-11-25T10:00:00Z");
    let good = Ko::with_manifest(&name("1-2"), RELEASE, &[]).bytes();
    let path = system.file(&file("1-2"), &good[..good.len() - 9]);
    system.kmend(&["install", &path]).ends(1);
    assert_eq!(kept(&system), [format!("install {}", name("1-2"))]);
    let failure = &system.note("failures.json")["failures"][0];
    assert_eq!((failure["when"].as_str(), failure["release"].as_str()), (Some("2026-11-25T10:00:00Z"), Some(RELEASE)));
    assert!(failure["reason"].as_str().unwrap().contains("ELF header: the section table lies beyond"));
    // The same again is one failure, not two.
    system.kmend(&["install", &path]).ends(1);
    assert_eq!(kept(&system).len(), 1);
    let path = system.file(&file("1-2"), &good);
    system.kmend(&["install", &path]).ends(0);
    assert_eq!(kept(&system), [""; 0]);

    system.kmend(&["load", &name("1-2")]).ends(1);
    assert_eq!(kept(&system), [format!("load {}", name("1-2"))]);
    system.kmend(&["load", &name("1-2")]).ends(0);
    assert_eq!(kept(&system), [""; 0]);
}

#[test]
fn load_all_keeps_each_failure_and_uninstall_ends_it() {
    let system = System::new();
    system.version("1-1");
    system.installed(&file("1-2"), b"\x7fELF");
    system.installed(&file("1-3"), &Ko::new(&name("1-3"), "6.1.0").bytes());
    system.kmend(&["load", "--all"]).ends(1);
    assert_eq!(kept(&system), [format!("load {}", name("1-3")), format!("load {}", name("1-2"))]);
    system.kmend(&["uninstall", &name("1-3")]).ends(0);
    assert_eq!(kept(&system), [format!("load {}", name("1-2"))]);
}

#[test]
fn the_last_twenty_are_kept_and_a_damaged_note_is_begun_anew() {
    let system = System::new();
    system.put("var/lib/kmend/failures.json", "{\"failures\":[{}]}");
    for number in 0..25 {
        let path = system.file(&format!("own_{number}.ko"), b"");
        system.kmend(&["load", &path]).ends(1);
    }
    let kept = kept(&system);
    assert_eq!((kept.len(), kept[0].as_str(), kept[19].as_str()), (20, "load own_5", "load own_24"));
}

#[test]
fn a_transition_that_was_turned_back_is_told_in_a_line_until_it_goes_well() {
    let system = System::new();
    system.takes(&name("1-2"), true, None);
    let path = system.file(&file("1-2"), &Ko::with_manifest(&name("1-2"), RELEASE, &[]).bytes());
    system.kmend(&["install", &path]).ends(0);
    let line = |times: &str| {
        format!(
            "\nfailed: load of {n}, {times}: failed to load module {n} (transition stalled): it was turned back, nothing of it is \
             in force; what you can do: end or restart the tasks that blocked it, then `kmend load --all` again\n",
            n = name("1-2")
        )
    };
    system.put("clock", "2026-11-25T10:00:00Z");
    system.kmend(&["load", "--all"]).ends(1);
    let said = system.kmend(&["status"]).ends(3).says(&line("2026-11-25T10:00:00Z"));
    assert_eq!(said.out.matches("failed: ").count(), 1, "{}", said.out);
    // Again, by name: since when, and when last.
    system.put("clock", "2026-11-25T12:00:00Z");
    system.kmend(&["load", &name("1-2")]).ends(1);
    system.kmend(&["status"]).ends(3).says(&line("since 2026-11-25T10:00:00Z, last at 2026-11-25T12:00:00Z"));
    let status: serde_json::Value = serde_json::from_str(&system.kmend(&["status", "--json"]).out).unwrap();
    let failure = &status["failures"][0];
    assert_eq!((&failure["since"], &failure["when"]), (&"2026-11-25T10:00:00Z".into(), &"2026-11-25T12:00:00Z".into()));
    assert!(failure["advice"].as_str().unwrap().ends_with("`kmend load --all` again"));
    // A later success is the end of it, over boots too; a later failure begins anew.
    system.takes(&name("1-2"), true, Some(0));
    system.kmend(&["load", "--all"]).ends(0);
    assert!(!system.kmend(&["status"]).ends(0).out.contains("failed: "));
    assert_eq!(kept(&system), [""; 0]);
    system.kmend(&["shutdown-mark"]).ends(0);
    system.boots_again();
    assert!(!system.kmend(&["status"]).ends(3).out.contains("failed: "));
    system.takes(&name("1-2"), true, None);
    system.put("clock", "2026-11-26T10:00:00Z");
    system.kmend(&["load", "--all"]).ends(1);
    system.kmend(&["status"]).ends(3).says(&line("2026-11-26T10:00:00Z"));
}

#[test]
fn notes_of_before_say_when_it_failed() {
    let system = System::new();
    let failure = format!(
        r#"{{"when":"2026-11-25T17:00:00Z","what":"load","module":"m","release":"{RELEASE}","reason":"busy"}}"#
    );
    system.put("var/lib/kmend/failures.json", &format!(r#"{{"failures":[{failure}]}}"#));
    system.kmend(&["status"]).ends(2).says("\nfailed: load of m, 2026-11-25T17:00:00Z: busy\n");
}

#[test]
fn what_the_operator_has_put_right_is_over() {
    let other = "6.1.0-50-amd64";
    let system = System::new();
    let path = system.file("own.ko", &Ko::new("own", other).bytes());
    for what in ["install", "load"] {
        system.kmend(&[what, &path]).ends(1);
    }
    assert_eq!(kept(&system), ["install own", "load own"]);
    system.kmend(&["status", "--nagios"]).ends(2).says("failures=2");
    // It was meant for another kernel, and is installed for that now: a load of it here may be tried still.
    system.kmend(&["install", "-k", other, &path]).ends(0);
    assert_eq!(kept(&system), ["load own"]);
    system.kmend(&["uninstall", "own"]).ends(1).complains("is not installed for kernel");
    assert_eq!(kept(&system), [""; 0]);
    system.kmend(&["status", "--nagios"]).ends(2).says("failures=0");
    // One of the same name that failed for this kernel is not put right by one for another.
    let broken = system.file("own.ko", b"\x7fELF");
    system.kmend(&["install", &broken]).ends(1);
    let path = system.file("own.ko", &Ko::new("own", other).bytes());
    system.kmend(&["uninstall", "-k", other, "own"]).ends(0);
    system.kmend(&["install", "-k", other, &path]).ends(0);
    assert_eq!(kept(&system), ["install own"]);
}

#[test]
fn a_newer_version_that_goes_well_ends_the_failures_of_older_ones() {
    let system = System::new();
    for version in ["1-2", "1-4"] {
        let path = system.file(&file(version), b"\x7fELF");
        system.kmend(&["install", &path]).ends(1);
    }
    let path = system.file("kpatch-own.ko", b"\x7fELF");
    system.kmend(&["install", &path]).ends(1);
    let path = system.file(&file("1-3"), &Ko::with_manifest(&name("1-3"), RELEASE, &[]).bytes());
    system.kmend(&["install", &path]).ends(0);
    assert_eq!(kept(&system), [format!("install {}", name("1-4")), "install kpatch_own".into()]);
    // Of loads the note stays, as it says that this version never was in force; it is no longer shown.
    let system = System::new();
    system.installed(&file("1-2"), b"\x7fELF");
    system.kmend(&["load", "--all"]).ends(1);
    system.kmend(&["status", "--nagios"]).says("failures=1");
    system.version("1-3");
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["status", "--nagios"]).ends(0).says("failures=0");
}

#[test]
fn failures_are_forgotten_by_name_or_all_of_them() {
    let system = System::new();
    for module in ["a", "b", "c"] {
        let path = system.file(&format!("own-{module}.ko"), b"");
        system.kmend(&["install", &path]).ends(1);
        system.kmend(&["install", "-k", "6.1.0", &path]).ends(1);
    }
    system.kmend(&["forget", "own-a.ko"]).ends(0).says("2 failures forgotten\n");
    assert_eq!(kept(&system).len(), 4);
    system.kmend(&["forget", "own_a"]).ends(1).complains("own_a is recorded");
    system.kmend(&["forget"]).ends(1);
    system.kmend(&["forget", "--all"]).ends(0).says("4 failures forgotten\n");
    assert_eq!(kept(&system), [""; 0]);
    system.kmend(&["forget", "--all"]).ends(0).says("0 failures forgotten\n");
}
