// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend load: which module, what is refused, transitions that stall.

use super::ko::Ko;
use super::system::{file, name, Plan, System, BUSY, RELEASE};
use std::collections::BTreeMap;
use std::fs;

fn path_of(version: &str) -> String {
    format!("/var/lib/kpatch/{RELEASE}/{}", file(version))
}

fn answers(version: &str, errnos: &[i32]) -> Plan {
    let load = BTreeMap::from([(name(version), errnos.iter().copied().collect())]);
    Plan { load, ..Plan::default() }
}

#[test]
fn all_loads_the_newest_of_each_stream_once() {
    let system = System::new();
    ["1-1", "1-9", "1-10", "0-1"].iter().for_each(|v| drop(system.version(v)));
    // A stream of its own, which replaces nothing.
    system.installed("own.ko", &Ko::new("own", RELEASE).bytes());
    let said = system.kmend(&["load", "--all"]).ends(0);
    let own = format!("/var/lib/kpatch/{RELEASE}/own.ko");
    assert_eq!(said.out, format!("loading patch module: {}\nloading patch module: {own}\n", path_of("1-10")));
    assert_eq!(said.err, "");
    assert_eq!(system.asked(), [format!("load {}", path_of("1-10")), format!("load {own}")]);
    assert_eq!(system.in_force(), [(name("1-10"), true), ("own".into(), true)]);
    // A second time nothing happens.
    let said = system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(
        said.out,
        format!(
            "module named {} already loaded and enabled\nmodule named own already loaded and enabled\n",
            name("1-10")
        )
    );
    assert_eq!(system.asked().len(), 2);
    assert_eq!(system.slept(), 0, "nothing that took time");
}

#[test]
fn nothing_installed_is_no_error() {
    let said = System::new().kmend(&["load", "--all"]).ends(0);
    assert_eq!((said.out, said.err), (String::new(), String::new()));
}

#[test]
fn all_passes_over_what_is_unfit_and_loads_the_next_older() {
    let system = System::new();
    ["1-1", "1-2"].iter().for_each(|v| drop(system.version(v)));
    let bytes = Ko::with_manifest(&name("1-3"), RELEASE, &[]).bytes();
    system.installed(&file("1-3"), &bytes[..bytes.len() - 9]);
    system.installed(&file("1-4"), &Ko::new(&name("1-4"), "5.14.0-9.x86_64").bytes());
    let said = system.kmend(&["load", "--all"]).ends(1);
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
    said.complains(&format!("{}: ELF header: the section table lies beyond", path_of("1-3")))
        .complains("vermagic says it is for 5.14.0-9.x86_64")
        .complains(&format!("{} is in force in the place of {}", name("1-2"), name("1-4")));
    assert_eq!(system.asked(), [format!("load {}", path_of("1-2"))]);
}

#[test]
fn what_the_kernel_refuses_gives_way_to_the_next_older() {
    // EKEYREJECTED.
    let system = System::with(answers("1-2", &[129]));
    ["1-1", "1-2"].iter().for_each(|v| drop(system.version(v)));
    system.kmend(&["load", "--all"]).ends(1).complains("it has no signature");
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}

#[test]
fn two_streams_that_replace_each_other_are_told() {
    let system = System::new();
    system.version("1-1");
    system.installed("other.ko", &Ko::with_manifest("other", RELEASE, &[]).bytes());
    let said = system.kmend(&["load", "--all"]).ends(1);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    said.complains(&format!("other would replace {}, which belongs to another stream: not loaded", name("1-1")));
    // The same the second time: the first one stays.
    system.kmend(&["load", "--all"]).ends(1);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}

#[test]
fn an_older_version_never_takes_the_place_of_a_newer_one_by_itself() {
    let system = System::new();
    system.loaded(&name("1-10"), true, false);
    system.version("1-9");
    system.kmend(&["load", "--all"]).ends(0).says(&format!(
        "{} is in force and newer than {}",
        name("1-10"),
        name("1-9")
    ));
    assert!(system.asked().is_empty());
    // Asked for by name it is loaded, with a warning.
    system.kmend(&["load", &name("1-9")]).ends(0).complains("this is a step back");
    assert_eq!(system.in_force(), [(name("1-9"), true)]);
}

#[test]
fn a_busy_kernel_is_asked_five_times() {
    let system = System::with(answers("1-1", &[BUSY; 4]));
    let module = system.version("1-1");
    system.kmend(&["load", &module]).ends(0).complains("retrying...");
    assert_eq!((system.asked().len(), system.slept()), (5, 8));
    assert_eq!(system.in_force(), [(module, true)]);

    let system = System::with(answers("1-1", &[BUSY; 5]));
    let module = system.version("1-1");
    system.loaded("other", true, true);
    system.kmend(&["load", &module]).ends(1).complains("busy").complains("(other is in transition;");
    assert_eq!((system.asked().len(), system.slept()), (5, 8));
    assert_eq!(system.in_force(), [("other".into(), true)]);
}

#[test]
fn preflight_refuses_before_the_kernel_is_asked() {
    let system = System::new();
    let mut ko = Ko::with_manifest("own", RELEASE, &[]);
    ko.manifest = ko.manifest.map(|m| m.replace("abcd0102", "abcd0103"));
    for (bytes, expected) in [
        (Ko::new("own", "6.1.0").bytes(), "the running kernel is 5.14.0-362.8.1"),
        (Ko { machine: 21, ..Ko::new("own", RELEASE) }.bytes(), "it is for ppc64le, this machine is x86_64"),
        (ko.bytes(), "build id abcd0103, and the one that runs has abcd0102"),
        (b"\x7fELF".to_vec(), "the file is of 4 bytes"),
    ] {
        let path = system.file("own.ko", &bytes);
        system.kmend(&["load", &path]).ends(1).complains("own.ko: ").complains(expected).complains("what you can do:");
    }
    system.kmend(&["load", "nobody"]).ends(1).complains("can't find nobody");
    assert!(system.asked().is_empty());
}

#[test]
fn a_kernel_without_livepatch_or_without_the_build_id_is_told() {
    let system = System::new();
    let module = system.version("1-1");
    fs::remove_file(system.root().join("sys/kernel/notes")).unwrap();
    system.kmend(&["load", &module]).ends(1).complains("/sys/kernel/notes holds no build id");
    let system = System::new();
    let module = system.version("1-1");
    fs::remove_dir_all(system.root().join("sys/kernel/livepatch")).unwrap();
    system.kmend(&["load", &module]).ends(1).complains("this kernel has no livepatch");
    assert!(system.asked().is_empty());
}

#[test]
fn another_system_does_not_load_into_the_running_kernel() {
    let system = System::new();
    let module = system.version("1-1");
    fs::remove_file(system.root().join("kernel.sock")).unwrap();
    system.kmend(&["load", &module]).ends(1).complains("is not the running system");
}

#[test]
fn a_module_that_registers_nothing_is_not_called_loaded() {
    let system = System::with(Plan { registers_nothing: true, ..Plan::default() });
    let module = system.version("1-1");
    system.kmend(&["load", &module]).ends(1).complains("it is not in force");
}

#[test]
fn another_build_under_the_same_name_is_no_success() {
    let system = System::new();
    let path = system.file("own.ko", &Ko::new("own", RELEASE).bytes());
    system.kmend(&["load", &path]).ends(0);
    system.kmend(&["load", &path]).ends(0).says("module named own already loaded and enabled");
    let path = system.file("own.ko", &Ko { build_id: vec![9], ..Ko::new("own", RELEASE) }.bytes());
    system.kmend(&["load", &path]).ends(1).complains("from another build of it");
}

#[test]
fn one_that_was_replaced_is_removed_before_it_is_loaded_again() {
    let system = System::new();
    ["1-1", "1-2"].iter().for_each(|v| drop(system.version(v)));
    system.kmend(&["load", &name("1-1")]).ends(0);
    system.kmend(&["load", &name("1-2")]).ends(0);
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
    system.kmend(&["load", &name("1-1")]).ends(0);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    assert!(system.asked().contains(&format!("delete {}", name("1-1"))));
}

#[test]
fn one_on_its_way_out_is_turned_around() {
    let system = System::new();
    system.version("1-1");
    system.loaded(&name("1-1"), false, true);
    system.kmend(&["load", &name("1-1")]).ends(0).says("module already loaded, re-enabling");
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}

/// A kernel in which transitions of 1-1 to these states take that long, and a task that sits in a patched function.
fn slow(on: Option<u64>, off: Option<u64>, signal: bool) -> System {
    let transitions = BTreeMap::from([((name("1-1"), true), on), ((name("1-1"), false), off)]);
    let functions = BTreeMap::from([(name("1-1"), vec!["vmlinux/type_show,17".to_string()])]);
    let system = System::with(Plan { transitions, functions, signal, ..Plan::default() });
    system.version("1-1");
    system.task(1, 1, "systemd", "1", "[<0>] do_epoll_wait+0x1/0x2");
    system.task(812, 812, "cat", "0", "[<0>] msleep+0x2b/0x40\n[<0>] type_show+0x1b/0x40\n[<0>] vfs_read+0x9b/0x330");
    system.task(812, 813, "helper", "0", "[<0>] futex_wait+0x1/0x2");
    system
}

#[test]
fn a_transition_is_waited_for() {
    let system = slow(Some(3000), Some(0), false);
    let said = system.kmend(&["load", &name("1-1")]).ends(0);
    assert_eq!(
        said.out,
        format!(
            "loading patch module: {}\nwaiting (up to 15 seconds) for patch transition to complete...\n\
             transition complete (3 seconds)\n",
            path_of("1-1")
        )
    );
    // Short ones cost next to nothing.
    let system = slow(Some(20), Some(0), false);
    system.kmend(&["load", &name("1-1")]).ends(0).says("transition complete (0 seconds)");
    assert_eq!(system.slept(), 0);
}

#[test]
fn tasks_are_signalled_after_fifteen_seconds_where_the_kernel_has_a_signal() {
    let system = slow(None, Some(0), true);
    system
        .kmend(&["load", &name("1-1")])
        .ends(0)
        .says("patch transition has stalled!\nsignaling stalled process(es):\n");
    assert_eq!(system.asked()[1], format!("write /sys/kernel/livepatch/{}/signal 1", name("1-1")));
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}

#[test]
fn a_stalled_load_is_turned_back_and_says_who_blocked_it() {
    let system = slow(None, Some(0), false);
    system.task(5, 5, "outside", "-1", "[<0>] type_show+0x1b/0x40");
    system.task(900, 900, "busy", "0", "");
    system.task(901, 901, "hidden", "0", "");
    fs::remove_file(system.root().join("proc/901/task/901/stack")).unwrap();
    let said = system.kmend(&["load", &name("1-1")]).ends(1);
    let said = said.says(
        "\nStalled processes:\n\
         812 cat\n\
         sits in: type_show, which the live patch replaces\n\
         stack:\n\
         [<0>] msleep+0x2b/0x40\n\
         [<0>] type_show+0x1b/0x40\n\
         [<0>] vfs_read+0x9b/0x330\n\
         813 helper (a thread of 812)\n\
         sits in: no patched function at the moment; it has not reached a point where it can be switched\n\
         stack:\n\
         [<0>] futex_wait+0x1/0x2\n",
    );
    assert!(!said.out.contains("systemd") && !said.out.contains("outside"), "{}", said.out);
    let said = said
        .says("900 busy\nsits in: not known, because the kernel shows no stack for it (it may be running)\n")
        .says("901 hidden\nsits in: not known, because its stack cannot be read\n");
    said.says(&format!("module {} did not complete its transition, unloading...\n", name("1-1")))
        .complains("Livepatch process signaling is performed automatically on your system.")
        .complains("(transition stalled): it was turned back, nothing of it is in force");
    assert_eq!(system.slept(), 75);
    assert_eq!(system.in_force(), []);
    assert_eq!(
        system.asked()[1..],
        [format!("write /sys/kernel/livepatch/{}/enabled 0", name("1-1")), format!("delete {}", name("1-1"))]
    );
}

#[test]
fn a_stall_does_not_try_older_ones_and_a_stalled_way_back_is_told() {
    let system = slow(None, None, false);
    system.version("1-0");
    system.kmend(&["load", "--all"]).ends(1).complains("the way back stalls too");
    assert_eq!(system.slept(), 150);
    assert_eq!(system.in_force(), [(name("1-1"), false)]);
    assert_eq!(system.asked().iter().filter(|a| a.starts_with("load")).count(), 1);
}
