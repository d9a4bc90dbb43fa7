// SPDX-License-Identifier: GPL-2.0-or-later
//! The crash breaker: loads that a crash followed, over several boots.

use super::ko::Ko;
use super::system::{name, Plan, System, RELEASE};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const NOTE: &str = "breaker.json";

fn set_aside(system: &System) -> Vec<String> {
    let note = system.note(NOTE);
    let list = note["set_aside"].as_array().cloned().unwrap_or_default();
    list.iter().map(|s| s["module"].as_str().unwrap().into()).collect()
}

fn at(system: &System, time: &str) {
    system.at(time);
}

/// 1-1 is known to be good, 1-2 was loaded, and then the host crashed.
fn crashed() -> System {
    let system = System::new();
    at(&system, "10:00:00");
    system.version("1-1");
    system.kmend(&["load", "--all"]).ends(0);
    at(&system, "10:20:00");
    system.version("1-2");
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.note(NOTE)["attempt"]["module"], name("1-2"));
    system.boots_again();
    at(&system, "10:25:00");
    system
}

#[test]
fn what_crashed_is_set_aside_at_the_next_boot_and_the_last_good_one_is_loaded() {
    let system = crashed();
    system
        .kmend(&["load", "--all"])
        .ends(0)
        .complains(&format!("{} is set aside: the host went down without a shutdown", name("1-2")))
        .complains(&format!("`kmend retry {}`", name("1-2")))
        .complains(&format!("{} is in force in the place of {}", name("1-1"), name("1-2")));
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    assert_eq!(set_aside(&system), [name("1-2")]);
    // It stays so, boot after boot.
    for _ in 0..3 {
        system.kmend(&["shutdown-mark"]).ends(0);
        system.boots_again();
        system.kmend(&["load", "--all"]).ends(0);
        assert_eq!(system.in_force(), [(name("1-1"), true)]);
        assert_eq!(set_aside(&system), [name("1-2")]);
    }
}

#[test]
fn a_loop_of_crashes_ends_with_nothing_loaded() {
    let system = System::new();
    ["1-1", "1-2", "1-3"].iter().for_each(|v| drop(system.version(v)));
    let mut boots = Vec::new();
    for _ in 0..5 {
        system.kmend(&["load", "--all"]).ends(0);
        boots.push(system.in_force().into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        system.boots_again();
    }
    assert_eq!(boots, [vec![name("1-3")], vec![name("1-2")], vec![name("1-1")], vec![], vec![]]);
}

#[test]
fn the_last_good_one_comes_before_one_that_nobody_has_tried() {
    let system = crashed();
    system.version("1-0");
    fs::rename(
        system.folder(RELEASE).join(super::system::file("1-2")),
        system.folder(RELEASE).join(super::system::file("1-3")),
    )
    .unwrap();
    // 1-3 is set aside, 1-2 was never loaded, 1-1 is known to be good.
    let note = system.note(NOTE).to_string().replace(&name("1-2"), &name("1-3"));
    system.put("var/lib/kmend/breaker.json", &note);
    system.version("1-2");
    system.version("1-3");
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}

#[test]
fn a_shutdown_in_good_order_or_ten_minutes_make_a_load_good() {
    for settled in [&["shutdown-mark"][..], &["settle"], &["list"]] {
        let system = System::new();
        at(&system, "10:00:00");
        system.version("1-1");
        system.kmend(&["load", "--all"]).ends(0);
        at(&system, if settled == ["shutdown-mark"] { "10:00:01" } else { "10:10:00" });
        system.kmend(settled).ends(0);
        assert_eq!(system.note(NOTE)["attempt"], serde_json::Value::Null, "{settled:?}");
        assert_eq!(system.note(NOTE)["good"][0]["module"], name("1-1"));
        system.boots_again();
        let said = system.kmend(&["load", "--all"]).ends(0);
        assert_eq!(said.err, "");
        assert_eq!(system.in_force(), [(name("1-1"), true)]);
    }
    // Before its time it is not.
    for early in [&["settle"][..], &["list"], &["status"]] {
        let system = System::new();
        at(&system, "10:00:00");
        system.version("1-1");
        system.kmend(&["load", "--all"]).ends(0);
        at(&system, "10:09:59");
        system.kmend(early).ends(0);
        assert_eq!(system.note(NOTE)["attempt"]["module"], name("1-1"), "{early:?}");
        system.boots_again();
        at(&system, "11:00:00");
        system.kmend(early);
        system.kmend(&["load", "--all"]).ends(0);
        assert_eq!(set_aside(&system), [name("1-1")]);
    }
}

#[test]
fn a_clock_that_is_set_after_the_boot_makes_no_load_good() {
    // The hardware's clock is in local time, and is put right a minute after each boot; then the host crashes.
    for (boot, right) in [("10:00:00", "11:01:00"), ("10:00:00", "09:01:00")] {
        let system = System::new();
        system.version("1-1");
        let mut loads = 0;
        for _ in 0..6 {
            system.put("clock", &format!("2026-11-25T{boot}Z"));
            system.up(20);
            system.kmend(&["load", "--all"]).ends(0);
            loads += system.asked().iter().filter(|asked| asked.starts_with("load")).count();
            system.put("clock", &format!("2026-11-25T{right}Z"));
            system.up(80);
            for looks in [&["status"][..], &["list"], &["settle"], &["status", "--nagios"]] {
                system.kmend(looks);
            }
            assert_eq!(system.note(NOTE)["good"], serde_json::Value::Null, "{right}");
            system.boots_again();
        }
        assert_eq!((loads, set_aside(&system)), (1, vec![name("1-1")]), "{right}");
    }
    // One that is set back keeps no load from being good.
    let system = System::new();
    system.version("1-1");
    system.at("10:00:00");
    system.kmend(&["load", "--all"]).ends(0);
    system.put("clock", "2026-11-25T09:00:00Z");
    system.up(10 * 3600 + 600);
    system.kmend(&["list"]).ends(0);
    assert_eq!(system.note(NOTE)["good"][0]["module"], name("1-1"));
}

#[test]
fn a_load_that_an_older_kmend_noted_settles_from_the_next_look_on() {
    let system = System::new();
    system.version("1-1");
    system.at("10:00:00");
    system.kmend(&["load", "--all"]).ends(0);
    let mut note = system.note(NOTE);
    note["attempt"].as_object_mut().unwrap().remove("uptime").unwrap();
    system.put("var/lib/kmend/breaker.json", &note.to_string());
    for (time, good) in [("11:00:00", false), ("11:09:59", false), ("11:10:00", true)] {
        system.at(time);
        system.kmend(&["list"]).ends(0);
        assert_eq!(system.note(NOTE)["attempt"].is_null(), good, "{time}");
    }
}

#[test]
fn what_is_set_aside_is_loaded_only_by_retry() {
    let system = crashed();
    system.kmend(&["load", "--all"]).ends(0);
    let said = system.kmend(&["load", &name("1-2")]).ends(1);
    said.complains("was set aside at 2026-11-25T10:25:00Z").complains(&format!("`kmend retry {}`", name("1-2")));
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    system.kmend(&["retry", &name("1-1")]).ends(1).complains("is not set aside");
    system.kmend(&["retry", &name("1-2")]).ends(0).says("is no longer set aside");
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
    assert_eq!(set_aside(&system), [""; 0]);
    // It crashes again, and is set aside again.
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    // A newer version is a new chance.
    let path = system.file("kpatch-5_14_0-362_8_1-1-3.ko", &Ko::new(&name("1-3"), RELEASE).bytes());
    system.kmend(&["install", &path]).ends(0);
    system.kmend(&["load", "--all"]).ends(0);
    assert!(system.in_force().contains(&(name("1-3"), true)));
}

#[test]
fn what_the_kernel_refused_or_was_turned_back_has_crashed_nothing() {
    let load = BTreeMap::from([(name("1-1"), [8].into())]);
    let transitions = BTreeMap::from([((name("1-2"), true), None)]);
    for version in ["1-1", "1-2"] {
        let system = System::with(Plan { load: load.clone(), transitions: transitions.clone(), ..Plan::default() });
        system.version(version);
        system.kmend(&["load", "--all"]).ends(1);
        assert_eq!(system.note(NOTE)["attempt"], serde_json::Value::Null);
        system.boots_again();
        system.kmend(&["load", "--all"]);
        assert_eq!(set_aside(&system), [""; 0]);
    }
    // One that was taken back by hand neither.
    let system = System::new();
    system.version("1-1");
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["unload", "--all"]).ends(0);
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(set_aside(&system), [""; 0]);
}

#[test]
fn of_two_streams_the_one_that_was_good_before_is_spared() {
    let system = System::new();
    system.installed("old.ko", &Ko::new("old", RELEASE).bytes());
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["shutdown-mark"]).ends(0);
    system.boots_again();
    system.installed("new.ko", &Ko::new("new", RELEASE).bytes());
    system.kmend(&["load", "--all"]).ends(0);
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(set_aside(&system), ["new"]);
    assert_eq!(system.in_force(), [("old".into(), true)]);
    // It alone is under suspicion now: as it was good before, it takes two crashes.
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0).complains("it is loaded once more, and set aside if that happens again");
    assert_eq!(set_aside(&system), ["new"]);
    assert_eq!(system.in_force(), [("old".into(), true)]);
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(set_aside(&system), ["new", "old"]);
    assert_eq!(system.in_force(), []);
}

#[test]
fn a_damaged_note_and_a_var_that_cannot_be_written_do_not_leave_the_host_unpatched() {
    let system = System::new();
    system.version("1-1");
    system.put("var/lib/kmend/breaker.json", "{");
    system.kmend(&["load", "--all"]).ends(0).complains("breaker.json is damaged").complains("breaker.damaged");
    assert_eq!(system.note(NOTE)["attempt"]["module"], name("1-1"));

    let system = crashed();
    let note = fs::read(system.root().join("var/lib/kmend").join(NOTE)).unwrap();
    super::power::full(&system, 0, &["load", "--all"])
        .ends(0)
        .complains("cannot write")
        .complains("free space in /var");
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    assert_eq!(fs::read(system.root().join("var/lib/kmend").join(NOTE)).unwrap(), note);

    let system = System::new();
    system.version("1-1");
    fs::remove_file(system.root().join("proc/sys/kernel/random/boot_id")).unwrap();
    system.kmend(&["load", "--all"]).ends(0).complains("boot_id does not say which boot this is");
}

#[test]
fn systemd_is_asked_to_look_after_ten_minutes_and_at_a_shutdown() {
    let system = System::new();
    system.put("run/systemd/system/x", "");
    system.program("systemd-run", "printf '%s\\n' \"$@\" >\"$SYSTEMCTL_LOG\"");
    system.version("1-1");
    system.kmend(&["load", "--all"]).ends(0);
    let log = fs::read_to_string(system.root().join("systemctl.log")).unwrap();
    let program = env!("CARGO_BIN_EXE_kmend");
    assert!(
        log.contains(&format!(
            "-p\nExecStopPost=/bin/sh -c '[ \"$EXIT_CODE\" = exited ] || exec \"$0\" shutdown-mark' {program}\n"
        )),
        "{log}"
    );
    assert!(log.ends_with(&format!("/bin/sh\n-c\nsleep 600; exec \"$0\" settle\n{program}\n")), "{log}");
    // What it is told to run does what it should: its own end is no shutdown, all else that stops it may be.
    let at_stop = log.split_once("ExecStopPost=/bin/sh -c '").unwrap().1.split_once("' ").unwrap().0;
    let stop = |code: &str| {
        let mut command = system.command(Path::new("/bin/sh"), &["-c", at_stop, program]);
        assert!(command.env("EXIT_CODE", code).status().unwrap().success());
        !system.note(NOTE)["attempt"].is_null()
    };
    assert!(stop("exited") && stop("killed"), "the unit is stopped, and the host goes on");
    system.program("systemctl", "echo stopping; exit 1");
    assert!(stop("exited") && !stop("killed"));
    // A second time nothing is loaded, and nothing has to be looked after.
    fs::write(system.root().join("systemctl.log"), "").unwrap();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(fs::read_to_string(system.root().join("systemctl.log")).unwrap(), "");
}

#[test]
fn a_stop_of_the_unit_is_no_shutdown() {
    let system = System::new();
    system.put("run/systemd/system/any", "");
    let module = system.version("1-1");
    let says = |state: &str, code: u8| system.program("systemctl", &format!("echo {state}; exit {code}"));
    system.kmend(&["load", &module]).ends(0);
    for (state, code) in [("running", 0), ("degraded", 1), ("maintenance", 1), ("offline", 1), ("", 1)] {
        says(state, code);
        system.kmend(&["shutdown-mark"]).ends(0);
        assert_eq!(system.note("breaker.json")["attempt"]["module"], module.as_str(), "{state}");
    }
    std::fs::remove_file(system.root().join("bin/systemctl")).unwrap();
    system.kmend(&["shutdown-mark"]).ends(0);
    assert_eq!(system.note("breaker.json")["attempt"]["module"], module.as_str());
    says("stopping", 1);
    system.kmend(&["shutdown-mark"]).ends(0);
    assert!(system.note("breaker.json")["attempt"].is_null());
    assert_eq!(system.note("breaker.json")["good"][0]["module"], module.as_str());
}
