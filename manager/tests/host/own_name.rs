// SPDX-License-Identifier: GPL-2.0-or-later
//! Files that are not called like the module in them: everything goes by the module's own name.

use super::ko::Ko;
use super::system::{file, name, System, RELEASE};
use std::fs;

fn version(version: &str) -> Vec<u8> {
    Ko::with_manifest(&name(version), RELEASE, &["a fix"]).bytes()
}

#[test]
fn a_crash_breaker_meets_what_it_has_set_aside() {
    let system = System::new();
    system.version("1-1");
    system.installed("hotfix.ko", &version("1-2"));
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
    system.kmend(&["status"]).ends(0).says(&format!("loaded: {} [enabled], version 1-2\n", name("1-2")));
    system.boots_again();
    let said = system.kmend(&["load", "--all"]).ends(0);
    said.complains(&format!("{} is set aside and not loaded", name("1-2")));
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    system.kmend(&["load", &name("1-2")]).ends(1).complains("was set aside");
    system.kmend(&["load", "hotfix.ko"]).ends(1).complains("was set aside");
    // By the file's name or the module's.
    system.kmend(&["retry", "hotfix.ko"]).ends(0).says(&format!("{} is no longer set aside", name("1-2")));
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
    system.kmend(&["list"]).says(&format!("{} ({RELEASE})\n", name("1-2")));
    system.kmend(&["uninstall", "hotfix.ko"]).ends(0);
    assert!(!system.folder(RELEASE).join("hotfix.ko").exists());
}

#[test]
fn an_older_module_in_a_file_with_a_newer_name_is_older() {
    let system = System::new();
    system.installed(&file("1-3"), &version("1-1"));
    system.version("1-2");
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
    // A damaged file goes by its own name: it is told, and what fits is loaded.
    system.reboots();
    system.installed(&file("1-4"), b"no module");
    system.kmend(&["load", "--all"]).ends(1).complains(&file("1-4"));
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
    assert_eq!(system.note("failures.json")["failures"][0]["module"], name("1-4"));
}

#[test]
fn install_copies_under_the_name_of_the_module() {
    let system = System::new();
    let path = system.file("hotfix.ko", &version("1-2"));
    system.kmend(&["install", &path]).ends(0).says(&format!("installing {path} as {} ({RELEASE})", name("1-2")));
    let there = system.folder(RELEASE).join(format!("{}.ko", name("1-2")));
    assert_eq!(fs::read(&there).unwrap(), version("1-2"));
    // The same module under the package's name is installed already; another build of it is not.
    let path = system.file(&file("1-2"), &version("1-2"));
    system.kmend(&["install", &path]).ends(0).says("is already installed");
    let path = system.file(&file("1-2"), &Ko::with_manifest(&name("1-2"), RELEASE, &["another"]).bytes());
    system.kmend(&["install", &path]).ends(1).complains("already installed, with other content");
    assert_eq!(fs::read_dir(system.folder(RELEASE)).unwrap().count(), 1);
    assert_eq!(system.note("failures.json")["failures"][0]["module"], name("1-2"));
    // The package's script names the copy that it takes to be there.
    let copy = system.folder(RELEASE).join(file("1-2"));
    system.kmend(&["load", copy.to_str().unwrap()]).ends(0);
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
    let own = system.file("own.ko", &Ko::new("livepatch_own", RELEASE).bytes());
    system.kmend(&["load", &own]).ends(0);
    system.kmend(&["retry", &own]).ends(1).complains("livepatch_own is not set aside");
}

#[test]
fn names_that_a_shell_or_a_list_would_cut_are_refused() {
    let system = System::new();
    for bad in ["a fix.ko", "fix[1].ko", "fix(1).ko", "fix*.ko", "fix$x.ko", "ä.ko"] {
        let path = system.file(bad, &version("1-2"));
        system.kmend(&["install", &path]).ends(1).complains("rename it");
    }
    assert!(!system.folder(RELEASE).exists());
    // One that lies there is listed by the name of its module, and each line is one.
    system.installed("a fix [1].ko", &version("1-2"));
    system.installed("b fix [2].ko", b"no module");
    let said = system.kmend(&["list"]).ends(0);
    let lines: Vec<&str> = said.out.lines().filter(|line| line.ends_with(&format!("({RELEASE})"))).collect();
    assert_eq!(lines, [format!("b_fix__2_ ({RELEASE})"), format!("{} ({RELEASE})", name("1-2"))]);
    system.kmend(&["uninstall", "b fix [2].ko"]).ends(0);
    system.kmend(&["load", "--all"]).ends(0);
}

#[test]
fn two_files_with_one_module_are_one_live_patch() {
    let system = System::new();
    system.version("1-1");
    system.installed("a.ko", &fs::read(system.folder(RELEASE).join(file("1-1"))).unwrap());
    assert_eq!(system.kmend(&["load", "--all"]).ends(0).err, "");
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    let said = system.kmend(&["list"]).ends(0);
    assert_eq!(said.out.matches(&format!("{} ({RELEASE})", name("1-1"))).count(), 1, "{}", said.out);
    // With other content, the one that is called like the module counts, and the other one is told.
    system.installed("a.ko", &Ko::with_manifest(&name("1-1"), RELEASE, &["another"]).bytes());
    system.reboots();
    let said = system.kmend(&["load", "--all"]).ends(0);
    said.complains(&format!("/var/lib/kpatch/{RELEASE}/a.ko is not loaded")).complains(&file("1-1"));
    assert_eq!(system.asked(), [format!("load /var/lib/kpatch/{RELEASE}/{}", file("1-1"))]);
    system.kmend(&["uninstall", "a.ko"]).ends(0);
    assert!(!system.folder(RELEASE).join("a.ko").exists() && system.folder(RELEASE).join(file("1-1")).exists());
}
