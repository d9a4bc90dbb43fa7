// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend unload, force unload and signal.

use super::system::{name, Plan, System};
use std::collections::BTreeMap;
use std::fs;

#[test]
fn unload_disables_waits_and_removes() {
    let transitions = BTreeMap::from([((name("1-1"), false), Some(2000))]);
    let system = System::with(Plan { transitions, ..Plan::default() });
    let module = system.version("1-1");
    system.kmend(&["load", &module]).ends(0);
    let said = system.kmend(&["unload", "kpatch-5_14_0-362_8_1-1-1.ko"]).ends(0);
    assert_eq!(
        said.out,
        format!(
            "disabling patch module: {module}\nwaiting (up to 15 seconds) for patch transition to complete...\n\
             transition complete (2 seconds)\nunloading patch module: {module}\n\
             no longer in force: fix of 1-1\n"
        )
    );
    assert_eq!(
        system.asked()[1..],
        [format!("write /sys/kernel/livepatch/{module}/enabled 0"), format!("delete {module}")]
    );
    assert_eq!(system.in_force(), []);
    system.kmend(&["unload", &module]).ends(1).complains(&format!("patch module {module} is not loaded"));
    system.kmend(&["unload", "a b"]).ends(1).complains("is not the name of a module");
}

#[test]
fn all_are_unloaded_newest_first() {
    let system = System::new();
    for (name, order) in [("a_first", "1"), ("b_third", "3"), ("c_second", "2")] {
        system.loaded(name, true, false);
        fs::write(system.root().join("sys/kernel/livepatch").join(name).join("stack_order"), order).unwrap();
    }
    system.kmend(&["unload", "--all"]).ends(0);
    let deleted: Vec<String> = system.asked().into_iter().filter(|a| a.starts_with("delete")).collect();
    assert_eq!(deleted, ["delete b_third", "delete c_second", "delete a_first"]);
    system.kmend(&["unload", "--all"]).ends(0);
}

#[test]
fn a_stalled_unload_stays_under_way_and_force_has_to_be_asked_for() {
    let transitions = BTreeMap::from([(("own".to_string(), false), None)]);
    let functions = BTreeMap::from([("own".to_string(), vec!["vmlinux/type_show,1".to_string()])]);
    let system = System::with(Plan { transitions, functions, ..Plan::default() });
    system.loaded("own", true, false);
    system.task(7, 7, "cat", "1", "[<0>] kmend.0.type_show+0x1b/0x40 [own]");
    system.task(8, 8, "done", "0", "[<0>] type_show+0x1b/0x40");
    let said = system.kmend(&["unload", "own"]).ends(1).complains("transition stalled for own");
    assert!(!said.out.contains("8 done"), "{}", said.out);
    said.says("7 cat\nsits in: type_show, which the live patch replaces\n");
    assert_eq!(system.in_force(), [("own".into(), false)]);
    assert!(!system.asked().iter().any(|a| a.contains("force") || a.contains("delete")), "{:?}", system.asked());
    let said = system.kmend(&["force", "unload", "own"]).ends(0).says("forcing the transition of own");
    said.complains("the module stays in memory until a reboot");
    assert_eq!(system.asked().last().unwrap(), "write /sys/kernel/livepatch/own/force 1");
    assert_eq!(system.in_force(), []);
}

#[test]
fn force_is_not_used_where_it_is_not_needed_and_not_claimed_where_it_is_not_there() {
    let system = System::new();
    system.loaded("own", true, false);
    system.kmend(&["force", "unload", "own"]).ends(0);
    assert!(!system.asked().iter().any(|a| a.contains("/force")));
    assert_eq!(system.in_force(), []);

    let transitions = BTreeMap::from([(("own".to_string(), false), None)]);
    let system = System::with(Plan { transitions, no_force: true, ..Plan::default() });
    system.loaded("own", true, false);
    system.kmend(&["force", "unload", "own"]).ends(1).complains("/force is missing: this kernel cannot force");
    system.kmend(&["force", "own"]).ends(1);
    system.kmend(&["force"]).ends(1);
}

#[test]
fn a_module_in_use_stays_and_that_is_told() {
    let system = System::new();
    let module = system.version("1-1");
    system.kmend(&["load", &module]).ends(0);
    fs::write(system.root().join("sys/module").join(&module).join("refcnt"), "1\n").unwrap();
    system.kmend(&["unload", &module]).ends(1).complains("(refcnt): it is disabled, but something still uses it");
    assert_eq!(system.in_force(), []);
    assert_eq!(system.slept(), 15);
}

#[test]
fn signal_does_nothing_where_there_is_nothing_to_do() {
    let said = System::new().kmend(&["signal"]).ends(0);
    assert_eq!((said.out, said.err), (String::new(), String::new()));
    let system = System::new();
    system.loaded("own", true, true);
    system.kmend(&["signal"]).ends(0).complains("Skipping manual process signaling.");
    assert!(system.asked().is_empty());
    let system = System::with(Plan { signal: true, ..Plan::default() });
    system.loaded("own", true, true);
    assert_eq!(system.kmend(&["signal"]).ends(0).out, "signaling stalled process(es):\n");
    assert_eq!(system.asked(), ["write /sys/kernel/livepatch/own/signal 1"]);
}

#[test]
fn what_was_not_in_force_is_not_missed() {
    let system = System::new();
    let modules = [system.version("1-1"), system.version("1-2")];
    for (at, module) in modules.iter().enumerate() {
        system.kmend(&["load", module]).ends(0);
        if at == 0 {
            // Something holds it, so that it stays in memory when the next one takes its place.
            fs::write(system.root().join("sys/module").join(module).join("refcnt"), "1\n").unwrap();
        }
    }
    fs::write(system.root().join("sys/module").join(&modules[0]).join("refcnt"), "0\n").unwrap();
    let said = system.kmend(&["unload", &modules[0]]).ends(0);
    assert_eq!(said.out, format!("unloading patch module: {}\n", modules[0]));
    assert_eq!(system.in_force(), [(modules[1].clone(), true)]);
    system.kmend(&["unload", &modules[1]]).ends(0).says("no longer in force: fix of 1-2");
}

#[test]
fn modules_of_replaced_live_patches_go() {
    let system = System::new();
    let (first, second) = (system.version("1-1"), system.version("1-2"));
    system.kmend(&["load", &first]).ends(0);
    system.kmend(&["load", &second]).ends(0);
    assert_eq!(system.asked().last().unwrap(), &format!("delete {first}"));
    let there = |name: &str| system.root().join("sys/module").join(name).exists();
    assert!(!there(&first) && there(&second));
    // One that something holds stays, and is named; so is one that was not removed.
    for name in ["held", "left"] {
        fs::create_dir_all(system.root().join("sys/module").join(name)).unwrap();
    }
    fs::write(system.root().join("sys/module/left/refcnt"), "0\n").unwrap();
    let line = |name: &str, users: u32| format!("{name} 16384 {users} - Live 0x0 (OEK)\n");
    let other = "xfs 1 0 - Live 0x0\ndrm 1 0 - Live 0x0 (OE)\ngoes 1 0 - Unloading 0x0 (OEK)\n";
    system.put("proc/modules", &[&line("held", 1), &line("left", 0), &line(&second, 0), other].concat());
    system.kmend(&["list"]).says("\nIn memory and not in force:\nheld [stuck until a reboot]\nleft [unused]\n");
    system.kmend(&["status"]).says("still in memory: left: ").says("stuck in memory: held: ");
    system.kmend(&["status", "--json"]).says("\"replaced\": [\n    \"left\"\n  ]");
    system.kmend(&["unload", "--all"]).ends(0);
    assert!(!there("left") && !there(&second) && there("held"));
}

#[test]
fn a_replaced_module_that_is_held_does_not_hold_up_the_load() {
    let system = System::new();
    let (first, second) = (system.version("1-1"), system.version("1-2"));
    system.kmend(&["load", &first]).ends(0);
    fs::write(system.root().join("sys/module").join(&first).join("refcnt"), "1\n").unwrap();
    system.kmend(&["load", &second]).ends(0);
    assert_eq!(system.slept(), 0);
    assert!(!system.asked().iter().any(|a| a.starts_with("delete")));
}
