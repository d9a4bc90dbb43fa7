// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend list and info.

use super::ko::Ko;
use super::system::{name, Plan, System, RELEASE};
use std::fs;

#[test]
fn lines_are_those_of_kpatch() {
    let system = System::new();
    system.version("1-10");
    system.version("1-9");
    let other = system.folder("5.14.0-70.1.1.el9_0.x86_64");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("kpatch-5_14_0-70_1_1-1-1.ko"), "").unwrap();
    system.loaded(&name("1-9"), true, false);
    system.loaded("other_enabling", true, true);
    system.loaded("own-disabled", false, false);
    system.loaded("z_disabling", false, true);
    let said = system.kmend(&["list"]).ends(0);
    assert_eq!(said.err, "");
    assert_eq!(
        said.out,
        "Loaded patch modules:\n\
         kpatch_5_14_0_362_8_1_1_9 [enabled]\n\
         other_enabling [enabling...]\n\
         own-disabled [disabled]\n\
         z_disabling [disabling...]\n\
         \n\
         Stalled processes:\n\
         none that /proc shows just now (idle tasks are not shown there)\n\
         \n\
         Installed patch modules:\n\
         kpatch_5_14_0_70_1_1_1_1 (5.14.0-70.1.1.el9_0.x86_64)\n\
         kpatch_5_14_0_362_8_1_1_9 (5.14.0-362.8.1.el9_3.x86_64)\n\
         kpatch_5_14_0_362_8_1_1_10 (5.14.0-362.8.1.el9_3.x86_64)\n"
    );
}

#[test]
fn nothing_is_two_headings() {
    let said = System::new().kmend(&["list"]).ends(0);
    assert_eq!(said.out, "Loaded patch modules:\n\nInstalled patch modules:\n");
}

#[test]
fn functions_come_from_the_highest_live_patch() {
    let functions =
        [("low", vec!["vmlinux/f,1".to_string(), "vmlinux/g,2".into()]), ("high", vec!["vmlinux/f,1".into()])];
    let functions = functions.into_iter().map(|(n, f)| (n.to_string(), f)).collect();
    let system = System::with(Plan { functions, ..Plan::default() });
    system.loaded("low", true, false);
    system.loaded("high", true, false);
    assert!(!system.kmend(&["list"]).out.contains("Currently livepatched"));
    for (name, order) in [("low", "1\n"), ("high", "2\n")] {
        fs::write(system.root().join("sys/kernel/livepatch").join(name).join("stack_order"), order).unwrap();
    }
    system.kmend(&["list"]).ends(0).says(
        "\nCurrently livepatched functions:\n\
         Module  Object   Function/Occurrence\n\
         high    vmlinux  f,1\n\
         low     vmlinux  g,2\n",
    );
}

#[test]
fn sysfs_that_says_nonsense_is_told_by_its_file() {
    let system = System::new();
    system.loaded("x", true, false);
    fs::write(system.root().join("sys/kernel/livepatch/x/enabled"), "maybe\n").unwrap();
    system.kmend(&["list"]).ends(1).complains("/sys/kernel/livepatch/x/enabled says \"maybe\", neither 0 nor 1");
}

#[test]
fn info_of_a_file_an_installed_and_a_loaded_module() {
    let system = System::new();
    let name = system.version("1-2");
    let said = system.kmend(&["info", &name]).ends(0);
    assert!(said.out.starts_with(&format!(
        "Patch information for {name}:\nfilename:       /var/lib/kpatch/{RELEASE}/kpatch-5_14_0-362_8_1-1-2.ko\nname:           {name}\n"
    )), "{}", said.out);
    said.says("fix:            fix of 1-2 (a.patch)\n");
    let path = system.file("own.ko", &Ko::new("own", RELEASE).bytes());
    system.kmend(&["info", &path]).ends(0).says("livepatch:      Y\n");
    system.kmend(&["load", &path]).ends(0);
    system.kmend(&["info", "own"]).ends(0).says("not built by kmend: what it fixes is not known");
    system.kmend(&["info", "nobody"]).ends(1).complains("can't find nobody");
    system.kmend(&["info", "../../etc"]).ends(1).complains("can't find");
}
