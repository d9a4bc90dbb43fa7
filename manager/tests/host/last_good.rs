// SPDX-License-Identifier: GPL-2.0-or-later
//! The last good version outlives its package's upgrade.

use super::ko::Ko;
use super::system::{file, name, Plan, System, RELEASE};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

fn folder(system: &System) -> PathBuf {
    system.root().join("var/lib/kmend/last-good").join(RELEASE)
}

/// Names of what is kept.
fn kept(system: &System) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder(system)) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn at(system: &System, time: &str) {
    system.at(time);
}

/// What a package's scripts do.
fn install(system: &System, version: &str) {
    let path = system.file(&file(version), &Ko::with_manifest(&name(version), RELEASE, &["a fix"]).bytes());
    system.kmend(&["install", "-k", RELEASE, &path]).ends(0);
    system.kmend(&["load", system.folder(RELEASE).join(file(version)).to_str().unwrap()]);
}

fn upgrade(system: &System, from: &str, to: &str) -> super::system::Said {
    install(system, to);
    system.kmend(&["uninstall", "-k", RELEASE, &file(from)]).ends(0)
}

/// 1-1 is known to be good.
fn good() -> System {
    with(Plan::default())
}

fn with(plan: Plan) -> System {
    let system = System::with(plan);
    at(&system, "10:00:00");
    install(&system, "1-1");
    at(&system, "11:00:00");
    system.kmend(&["settle"]).ends(0);
    assert_eq!(system.note("breaker.json")["good"][0]["module"], name("1-1"));
    system
}

#[test]
fn an_upgrade_that_crashes_the_host_leaves_the_last_good_version() {
    let system = good();
    upgrade(&system, "1-1", "1-2").says(&format!("{} is kept until 1-2 is known to be good\n", name("1-1")));
    assert_eq!(kept(&system), [file("1-1")]);
    assert!(!system.folder(RELEASE).join(file("1-1")).exists());
    let line = format!("\nkept: {}, until 1-2 is known to be good\n", name("1-1"));
    system.kmend(&["status"]).ends(0).says(&line);
    let listed = system.kmend(&["list"]).ends(0);
    assert!(!listed.out.contains(&name("1-1")), "{}", listed.out);
    system.boots_again();
    // At once after the boot, before anything is loaded.
    at(&system, "11:05:00");
    system
        .kmend(&["load", "--all"])
        .ends(0)
        .complains(&format!("{} is set aside: the host went down", name("1-2")))
        .complains(&format!("{} is in force in the place of {}", name("1-1"), name("1-2")))
        .says(&format!("loading patch module: /var/lib/kmend/last-good/{RELEASE}/{}", file("1-1")));
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    // Its load is on trial like any other.
    assert_eq!(system.note("breaker.json")["attempt"]["module"], name("1-1"));
    system
        .kmend(&["status"])
        .ends(6)
        .says(&format!("reboot needed: {} was set aside", name("1-2")))
        .says(&format!("loaded: {} [enabled], version 1-1; not installed, but kept\n", name("1-1")))
        .says(&line);
    let status: serde_json::Value = serde_json::from_str(&system.kmend(&["status", "--json"]).out).unwrap();
    assert_eq!((&status["kept"][0]["name"], &status["kept"][0]["until"]), (&name("1-1").into(), &"1-2".into()));
    // It stays so, boot after boot.
    for _ in 0..3 {
        system.kmend(&["shutdown-mark"]).ends(0);
        system.boots_again();
        let said = system.kmend(&["status"]).ends(3);
        said.says(&format!("installed but not loaded: {}; no live patch is in force", name("1-1")));
        system.kmend(&["load", "--all"]).ends(0);
        assert_eq!(system.in_force(), [(name("1-1"), true)]);
        assert_eq!(kept(&system), [file("1-1")]);
    }
    // 1-3 is a new chance, and 1-1 is there for it, too; 1-2 is not.
    upgrade(&system, "1-2", "1-3");
    assert_eq!(system.in_force(), [(name("1-3"), true)]);
    assert_eq!(kept(&system), [file("1-1")]);
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}

#[test]
fn it_goes_when_the_newer_one_is_known_to_be_good() {
    for (time, ends) in [("11:00:05", "shutdown-mark"), ("12:00:00", "settle"), ("12:00:00", "list")] {
        let system = good();
        upgrade(&system, "1-1", "1-2");
        at(&system, "11:00:04");
        system.kmend(&["settle"]).ends(0);
        assert_eq!(kept(&system), [file("1-1")]);
        at(&system, time);
        system.kmend(&[ends]).ends(0);
        assert_eq!(kept(&system), [""; 0], "{ends}");
        assert!(!folder(&system).exists());
        assert!(!system.kmend(&["status"]).ends(0).out.contains("kept"));
    }
}

#[test]
fn where_a_good_one_stays_installed_nothing_is_kept() {
    let system = good();
    install(&system, "1-2");
    system.kmend(&["shutdown-mark"]).ends(0);
    let said = system.kmend(&["uninstall", &file("1-1")]).ends(0);
    assert_eq!((said.out, kept(&system)), (format!("uninstalling {} ({RELEASE})\n", file("1-1")), vec![]));
    // The last one: for real.
    system.kmend(&["uninstall", &file("1-2")]).ends(0);
    assert_eq!(kept(&system), [""; 0]);
    // A newer one that is not known to be good, but an older one that is, and stays.
    let system = good();
    install(&system, "1-2");
    install(&system, "1-3");
    system.kmend(&["uninstall", &file("1-2")]).ends(0);
    assert_eq!(kept(&system), [""; 0]);
    // A step to an older package.
    let system = good();
    upgrade(&system, "1-1", "1-0");
    assert_eq!(kept(&system), [""; 0]);
}

#[test]
fn the_package_s_removal_takes_it_along() {
    let system = good();
    upgrade(&system, "1-1", "1-2");
    system.kmend(&["uninstall", &file("1-1")]).ends(1).complains("is not installed");
    assert_eq!(kept(&system), [file("1-1")]);
    system.kmend(&["uninstall", &file("1-2")]).ends(0);
    assert_eq!(kept(&system), [""; 0]);
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), []);
}

#[test]
fn an_upgrade_whose_install_fails_leaves_it_too() {
    let system = good();
    let packaged = format!("usr/lib/kpatch/{RELEASE}/{}", file("1-2"));
    system.put(&packaged, "");
    let path = system.root().join(&packaged);
    system.kmend(&["install", path.to_str().unwrap()]).ends(1);
    // Twice, as the scripts of a package that is configured once more do.
    system.kmend(&["uninstall", &file("1-1")]).ends(0).says("is kept until 1-2 is known to be good");
    system.kmend(&["uninstall", &file("1-1")]).ends(1).complains("is not installed");
    system.kmend(&["shutdown-mark"]).ends(0);
    system.boots_again();
    system.kmend(&["status"]).ends(3).says("installed but not loaded").says("until 1-2 is known to be good");
    system.kmend(&["load", "--all"]).ends(1).complains(&format!("{}: ELF header: the file is empty", file("1-2")));
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    let line = format!("\nfailed: install of {}, ", name("1-2"));
    system.kmend(&["status"]).ends(3).says("outdated: ").says(&line);
    // The package goes, and its scripts find nothing installed.
    fs::remove_file(path).unwrap();
    system.kmend(&["status"]).ends(0).says("until a newer version is known to be good");
    system.kmend(&["uninstall", &file("1-2")]).ends(1).complains("is not installed");
    assert_eq!(kept(&system), [""; 0]);
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), []);
}

#[test]
fn of_a_stream_one_is_kept_the_newest_good_one_else_the_one_that_was_in_force() {
    let system = good();
    upgrade(&system, "1-1", "1-2");
    let said = upgrade(&system, "1-2", "1-3");
    assert!(!said.out.contains("is kept"), "{}", said.out);
    assert_eq!(kept(&system), [file("1-1")]);
    system.kmend(&["status"]).says(&format!("kept: {}, until 1-3 is known to be good\n", name("1-1")));
    // None is known to be good: what was in force before.
    let system = System::new();
    install(&system, "1-1");
    upgrade(&system, "1-1", "1-2");
    assert_eq!(kept(&system), [file("1-1")]);
    upgrade(&system, "1-2", "1-3");
    assert_eq!(kept(&system), [file("1-2")]);
    // One that never was in force is not kept in its place: the kernel refuses 1-2 (ENOEXEC).
    let system = with(Plan { load: BTreeMap::from([(name("1-2"), [8].into())]), ..Plan::default() });
    system.put("var/lib/kmend/breaker.json", "{\"attempt\":null}");
    upgrade(&system, "1-1", "1-2");
    upgrade(&system, "1-2", "1-3");
    assert_eq!(kept(&system), [file("1-1")]);
    // Installed once more, it is no longer needed beside.
    let system = good();
    upgrade(&system, "1-1", "1-2");
    system.version("1-1");
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(kept(&system), [""; 0]);
}

#[test]
fn it_stands_in_where_the_newer_one_does_not_fit_or_is_refused() {
    // ENOEXEC, at the upgrade and at the next boot.
    let load = BTreeMap::from([(name("1-2"), [8, 8].into())]);
    let system = with(Plan { load, ..Plan::default() });
    upgrade(&system, "1-1", "1-2");
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(1).complains("is in force in the place of");
    assert_eq!(system.in_force(), [(name("1-1"), true)]);

    let system = with(Plan { load: BTreeMap::from([(name("1-2"), [8].into())]), ..Plan::default() });
    upgrade(&system, "1-1", "1-2");
    system.installed(&file("1-2"), b"\x7fELF");
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(1).complains("1-2.ko: ELF header");
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    // It passes the same preflight itself.
    system.boots_again();
    fs::write(folder(&system).join(file("1-1")), b"\x7fELF").unwrap();
    system.kmend(&["load", "--all"]).ends(1).complains(&format!("/last-good/{RELEASE}/{}: ELF header", file("1-1")));
    assert_eq!(system.in_force(), []);
    system.kmend(&["status"]).ends(3).says("is known to be good\n  it does not fit: ELF header");
}

#[test]
fn it_is_loaded_by_name_and_can_be_stepped_back_to() {
    let system = good();
    upgrade(&system, "1-1", "1-2");
    system.kmend(&["info", &name("1-1")]).ends(0).says("last-good");
    system.kmend(&["step-back"]).ends(0).says(&format!("{} is set aside", name("1-2")));
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    system.kmend(&["shutdown-mark"]).ends(0);
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!((system.in_force(), kept(&system)), (vec![(name("1-1"), true)], vec![file("1-1")]));
    // It crashes twice, too, and is set aside; retry loads it.
    for _ in 0..2 {
        system.boots_again();
        system.kmend(&["load", "--all"]).ends(0);
    }
    assert_eq!(system.in_force(), []);
    system.kmend(&["retry", &name("1-1")]).ends(0);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}

#[test]
fn what_cannot_be_kept_is_told_and_uninstalled() {
    let system = good();
    // A file is where the folder should be.
    system.put("var/lib/kmend/last-good", "");
    upgrade(&system, "1-1", "1-2").complains("is not kept; should 1-2 crash this host").complains("last-good");
    assert!(!system.folder(RELEASE).join(file("1-1")).exists());
    system.kmend(&["status"]).ends(0);
    system.kmend(&["load", "--all"]).ends(0);
}

#[test]
fn a_folder_that_cannot_be_listed_is_told_and_stops_nothing() {
    let system = good();
    fs::create_dir_all(system.root().join("var/lib/kmend/last-good")).unwrap();
    std::os::unix::fs::symlink(RELEASE, folder(&system)).unwrap();
    upgrade(&system, "1-1", "1-2").complains("cannot list").complains("is not kept");
    assert!(!system.folder(RELEASE).join(file("1-1")).exists());
    system.kmend(&["status"]).ends(0).says("remark: cannot list /var/lib/kmend/last-good");
    system.kmend(&["shutdown-mark"]).ends(0).complains("cannot list /var/lib/kmend/last-good");
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0).complains("cannot list /var/lib/kmend/last-good");
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
}

#[test]
fn on_another_file_system_it_is_copied() {
    use std::os::unix::fs::MetadataExt;
    let system = good();
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = |path: &std::path::Path| fs::metadata(path).unwrap().dev();
    assert_ne!(device(other.path()), device(system.root()), "/dev/shm has to be a file system of its own");
    std::os::unix::fs::symlink(other.path(), system.root().join("var/lib/kmend/last-good")).unwrap();
    let bytes = fs::read(system.folder(RELEASE).join(file("1-1"))).unwrap();
    upgrade(&system, "1-1", "1-2").says("is kept until");
    assert_eq!(fs::read(other.path().join(RELEASE).join(file("1-1"))).unwrap(), bytes);
    assert!(!system.folder(RELEASE).join(file("1-1")).exists());
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}
