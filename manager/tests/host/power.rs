// SPDX-License-Identifier: GPL-2.0-or-later
//! The power is cut between any two steps; /var is full. In both cases nothing is lost that was there, and the last good
//! version still loads.

use super::ko::Ko;
use super::system::{file, name, System, RELEASE};
use std::fs;
use std::path::Path;
use std::process::Command;

fn ko(version: &str) -> Vec<u8> {
    Ko::with_manifest(&name(version), RELEASE, &["a fix"]).bytes()
}

/// A host on which 1-1 is installed, known to be good, and in force.
fn good() -> System {
    let system = System::new();
    system.installed(&file("1-1"), &ko("1-1"));
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["shutdown-mark"]).ends(0);
    system
}

/// Runs kmend with the power cut at each of its steps, each time on a host made anew; then the host boots and `after` looks
/// at it. Returns how many steps there were.
fn cut_everywhere(
    make: impl Fn() -> System,
    args: impl Fn(&System) -> Vec<String>,
    after: impl Fn(&System, u64),
) -> u64 {
    for step in 1..200 {
        let system = make();
        let args = args(&system);
        system.put("power-cut", &step.to_string());
        let said = system.kmend(&args.iter().map(String::as_str).collect::<Vec<_>>());
        fs::remove_file(system.root().join("power-cut")).unwrap();
        if said.code != -1 {
            said.ends(0);
            return step - 1;
        }
        whole(&system);
        after(&system, step);
    }
    panic!("it never came to its end");
}

/// Each installed file is a whole one.
fn whole(system: &System) {
    let kept = system.root().join("var/lib/kmend/last-good").join(RELEASE);
    for entry in [system.folder(RELEASE), kept].iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if let Some(version) = name.strip_suffix(".ko").and_then(|n| n.strip_prefix("kpatch-5_14_0-362_8_1-")) {
            assert_eq!(fs::read(entry.path()).unwrap(), ko(version), "{name}");
        }
    }
    for note in ["breaker.json", "failures.json"] {
        // It would not be read where it is damaged.
        system.note(note);
    }
}

fn on(system: &System) -> Vec<String> {
    system.in_force().into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
}

fn boots(system: &System) -> Vec<String> {
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0);
    on(system)
}

#[test]
fn while_it_installs() {
    let args = |system: &System| vec!["install".to_string(), system.file(&file("1-2"), &ko("1-2"))];
    let steps = cut_everywhere(good, args, |system, step| {
        let now = boots(system);
        assert!(now == [name("1-1")] || now == [name("1-2")], "step {step}: {now:?}");
        let path = system.file(&file("1-2"), &ko("1-2"));
        system.kmend(&["install", &path]).ends(0);
        let names: Vec<_> = fs::read_dir(system.folder(RELEASE)).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(names.iter().all(|n| n.to_str().unwrap().ends_with(".ko")), "step {step}: {names:?}");
    });
    assert!(steps >= 5, "{steps}");
}

#[test]
fn while_it_installs_the_first_one() {
    let args = |system: &System| vec!["install".to_string(), system.file(&file("1-2"), &ko("1-2"))];
    let make = || {
        let system = System::new();
        fs::create_dir_all(system.folder(RELEASE)).unwrap();
        system
    };
    cut_everywhere(make, args, |system, step| {
        let now = boots(system);
        assert!(now.is_empty() || now == [name("1-2")], "step {step}: {now:?}");
    });
}

#[test]
fn while_it_loads() {
    let make = || {
        let system = good();
        system.installed(&file("1-2"), &ko("1-2"));
        system
    };
    let steps = cut_everywhere(
        make,
        |_| vec!["load".into(), "--all".into()],
        |system, step| {
            let tried = on(system).contains(&name("1-2"));
            let now = boots(system);
            // What the kernel had got is set aside; else it is either.
            assert!(now == [name("1-1")] || now == [name("1-2")] && !tried, "step {step}: {now:?}, tried: {tried}");
        },
    );
    assert!(steps >= 7, "{steps}");
}

#[test]
fn while_it_loads_the_good_one_at_boot() {
    let make = || {
        let system = good();
        system.boots_again();
        system
    };
    cut_everywhere(
        make,
        |_| vec!["load".into(), "--all".into()],
        |system, step| {
            assert_eq!(boots(system), [name("1-1")], "step {step}");
        },
    );
}

#[test]
fn while_it_sets_aside_what_crashed() {
    let make = || {
        let system = good();
        system.installed(&file("1-2"), &ko("1-2"));
        system.kmend(&["load", "--all"]).ends(0);
        system.boots_again();
        system
    };
    let steps = cut_everywhere(
        make,
        |_| vec!["load".into(), "--all".into()],
        |system, step| {
            assert!(!system.asked().iter().any(|a| a.contains(&file("1-2"))), "step {step}: it was loaded again");
            assert_eq!(boots(system), [name("1-1")], "step {step}");
            assert_eq!(system.note("breaker.json")["set_aside"][0]["module"], name("1-2"));
        },
    );
    assert!(steps >= 10, "{steps}");
}

#[test]
fn while_it_uninstalls_unloads_steps_back_and_marks() {
    let make = || {
        let system = good();
        system.installed(&file("1-2"), &ko("1-2"));
        system.kmend(&["load", "--all"]).ends(0);
        system
    };
    for args in
        [&["uninstall", "kpatch_5_14_0_362_8_1_1_2"][..], &["unload", "--all"], &["step-back"], &["shutdown-mark"]]
    {
        let steps = cut_everywhere(
            make,
            |_| args.iter().map(|a| (*a).to_string()).collect(),
            |system, step| {
                let now = boots(system);
                assert!(now == [name("1-1")] || now == [name("1-2")], "{args:?}, step {step}: {now:?}");
                // It is set aside or loaded, and the older one is there in any case.
                assert!(system.folder(RELEASE).join(file("1-1")).exists());
            },
        );
        assert!(steps > 0, "{args:?}");
    }
}

/// A host on which 1-2 was installed and loaded by the upgrade of a package, whose last step is to uninstall 1-1.
fn upgraded() -> System {
    let system = good();
    system.installed(&file("1-2"), &ko("1-2"));
    system.kmend(&["load", "--all"]).ends(0);
    system
}

#[test]
fn while_the_last_good_one_is_kept() {
    for other_file_system in [false, true] {
        let other = tempfile::tempdir_in("/dev/shm").unwrap();
        let make = || {
            let system = upgraded();
            if other_file_system {
                // What a cut before left there is gone, as the hosts are made anew.
                let _ = fs::remove_dir_all(other.path().join(RELEASE));
                let link = system.root().join("var/lib/kmend/last-good");
                std::os::unix::fs::symlink(other.path(), link).unwrap();
            }
            system
        };
        let steps = cut_everywhere(
            make,
            |_| vec!["uninstall".into(), name("1-1")],
            |system, step| {
                assert_eq!(boots(system), [name("1-1")], "step {step}");
                assert_eq!(system.note("breaker.json")["set_aside"][0]["module"], name("1-2"));
            },
        );
        assert!(steps >= if other_file_system { 7 } else { 3 }, "{steps}");
    }
}

#[test]
fn while_the_kept_one_goes() {
    let make = || {
        let system = upgraded();
        system.kmend(&["uninstall", &name("1-1")]).ends(0);
        system
    };
    let steps = cut_everywhere(
        make,
        |_| vec!["shutdown-mark".into()],
        |system, step| {
            let is_good = system.note("breaker.json")["good"].as_array().unwrap().len() == 2;
            assert_eq!(boots(system), [name(if is_good { "1-2" } else { "1-1" })], "step {step}");
            // What the cut left is tidied at the next load.
            assert_ne!(is_good, system.root().join("var/lib/kmend/last-good").join(RELEASE).exists(), "step {step}");
        },
    );
    assert!(steps >= 7, "{steps}");
    cut_everywhere(
        make,
        |_| vec!["uninstall".into(), name("1-2")],
        |system, step| {
            // The package is going for good.
            let now = boots(system);
            assert!(now.is_empty() || now == [name("1-1")], "step {step}: {now:?}");
        },
    );
}

#[test]
fn a_full_var_keeps_it_where_that_takes_no_room_and_is_told_where_it_does() {
    let system = upgraded();
    full(&system, 0, &["uninstall", &name("1-1")]).ends(0).says("is kept until");
    assert_eq!(boots(&system), [name("1-1")]);
    let system = upgraded();
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    std::os::unix::fs::symlink(other.path(), system.root().join("var/lib/kmend/last-good")).unwrap();
    full(&system, 0, &["uninstall", &name("1-1")]).ends(0).complains("cannot write").complains("is not kept");
    assert!(!system.folder(RELEASE).join(file("1-1")).exists());
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    // 1-2 is good meanwhile, and /var so full that this cannot be written: nothing is taken away for it.
    let system = upgraded();
    system.kmend(&["uninstall", &name("1-1")]).ends(0);
    full(&system, 0, &["shutdown-mark"]).ends(1);
    assert_eq!(boots(&system), [name("1-1")]);
}

/// Runs kmend where no file may grow beyond that many blocks of 512 bytes: a /var that is full.
pub fn full(system: &System, blocks: u32, args: &[&str]) -> super::system::Said {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let program = env!("CARGO_BIN_EXE_kmend");
    let mut command: Command = system.command(Path::new("/bin/sh"), &[&["-c", &script, "sh", program], args].concat());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    super::system::Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_full_var_is_told_and_loses_nothing() {
    for blocks in [0, 1] {
        let system = good();
        let path = system.file(&file("1-2"), &ko("1-2"));
        let note = fs::read(system.root().join("var/lib/kmend/breaker.json")).unwrap();
        full(&system, blocks, &["install", &path]).ends(1).complains("cannot write").complains(&file("1-2"));
        assert!(!system.folder(RELEASE).join(file("1-2")).exists());
        let beside = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".kmend-new");
        assert_eq!(fs::read_dir(system.folder(RELEASE)).unwrap().flatten().filter(beside).count(), 0);
        whole(&system);
        if blocks == 0 {
            assert_eq!(fs::read(system.root().join("var/lib/kmend/breaker.json")).unwrap(), note);
        }
        // At boot the last good one is loaded although nothing can be noted, and that is told.
        system.boots_again();
        let said = full(&system, blocks, &["load", "--all"]).ends(0);
        if blocks == 0 {
            said.complains("cannot write").complains("free space in /var");
        }
        assert_eq!(on(&system), [name("1-1")]);
    }
}

#[test]
fn on_a_full_var_what_crashed_is_not_loaded_either() {
    let system = good();
    system.installed(&file("1-2"), &ko("1-2"));
    system.kmend(&["load", "--all"]).ends(0);
    for _ in 0..2 {
        system.boots_again();
        full(&system, 0, &["load", "--all"]).ends(0).complains("is set aside");
        assert_eq!(on(&system), [name("1-1")]);
    }
    full(&system, 0, &["uninstall", &name("1-2")]).ends(0);
    assert!(!system.folder(RELEASE).join(file("1-2")).exists());
}
