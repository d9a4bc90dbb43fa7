// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend by the name kpatch; two at once; a /var that cannot be written to; the service.

use super::ko::Ko;
use super::system::{name, Plan, System, RELEASE};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn kpatch(system: &System) -> PathBuf {
    let link = system.root().join("kpatch");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kmend"), &link).unwrap();
    link
}

#[test]
fn a_link_named_kpatch_is_kpatch() {
    let system = System::new();
    let kpatch = kpatch(&system);
    let run = |args: &[&str]| system.run(&kpatch, args);
    for version in ["version", "-v", "-V", "--version"] {
        assert_eq!(run(&[version]).ends(0).out, "0.9.11\n");
        assert!(system.kmend(&[version]).ends(0).out.starts_with("kmend "));
    }
    let error = run(&["load", "nobody"]).ends(1).err;
    assert!(error.starts_with("kpatch: can't find nobody"), "{error}");
    // Advice names the program that was called.
    for args in [&["info", "nobody"], &["unload", "nobody"]] {
        let (as_kpatch, as_kmend) = (run(args).ends(1).err, system.kmend(args).ends(1).err);
        assert!(as_kpatch.contains("`kpatch list`") && !as_kpatch.contains("`kmend"), "{as_kpatch}");
        assert!(as_kmend.contains("`kmend list`"), "{as_kmend}");
    }
    for mistake in [&[][..], &["lod"], &["load"], &["load", "--all", "x"], &["list", "x"], &["install"], &["unload"]] {
        let said = run(mistake).ends(1);
        assert_eq!(said.out, "", "{mistake:?}");
        assert!(said.err.contains("Usage"), "{mistake:?}: {}", said.err);
    }
    assert!(run(&["help"]).ends(0).out.contains("uninstall"));
}

/// What the scriptlets of a kpatch-patch package do (KPATCH: %post and %postun).
#[test]
fn what_packages_do_works() {
    let system = System::new();
    let kpatch = kpatch(&system);
    let file = "kpatch-5_14_0-362_8_1-1-2.ko";
    let path = system.file(file, &Ko::new(&name("1-2"), RELEASE).bytes());
    system.run(&kpatch, &["install", "-k", RELEASE, &path]).ends(0);
    system.run(&kpatch, &["load", &path]).ends(0);
    let list = system.run(&kpatch, &["list"]).ends(0).out;
    // ^name_([0-9_]+) \[enabled\]$
    let version = list.lines().find_map(|l| l.strip_prefix("kpatch_5_14_0_362_8_1_")?.strip_suffix(" [enabled]"));
    assert_eq!(version, Some("1_2"));
    system.run(&kpatch, &["uninstall", "-k", RELEASE, file]).ends(0);
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
}

#[test]
fn while_one_has_the_lock_others_wait_and_then_say_whose_it_is() {
    let system = System::new();
    let module = system.version("1-1");
    let path = system.root().join("var/lib/kpatch/.lock");
    let held = fs::File::create(&path).unwrap();
    held.lock().unwrap();
    let own = std::process::id();
    fs::write(&path, format!("process {own}: load --all\n")).unwrap();
    let other = system.file("own.ko", &Ko::new("own", RELEASE).bytes());
    for args in [
        &["load", "--all"][..],
        &["load", &module],
        &["unload", &module],
        &["install", &other],
        &["uninstall", &module],
    ] {
        let said = system.kmend(args).ends(1);
        said.complains(&format!(
            "waiting for another kmend (process {own}: load --all), which has /var/lib/kpatch/.lock"
        ))
        .complains("for more than 180 seconds: nothing was done");
    }
    assert!(system.asked().is_empty());
    assert!(!system.folder(RELEASE).join("own.ko").exists());
    // What the file says may be of one that has ended: the one that is there now is named.
    fs::write(&path, "process 99: load --all\n").unwrap();
    let said = system.kmend(&["install", &other]).ends(1);
    said.complains(&format!("waiting for process {own} (")).complains(") of user 0, which has /var/lib/kpatch/.lock");
    // Those that only look do not wait.
    system.kmend(&["list"]).ends(0);
    system.kmend(&["status"]).ends(3);
    system.kmend(&["signal"]).ends(0);
    held.unlock().unwrap();
    system.kmend(&["load", &module]).ends(0);
}

#[test]
fn many_at_once_load_it_once() {
    let system = System::with(Plan { second: Duration::from_millis(50), ..Plan::default() });
    let module = system.version("1-1");
    let said: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| system.kmend(&["load", &module]).ends(0))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(system.asked().len(), 1, "{:?}", system.asked());
    assert_eq!(said.iter().filter(|s| s.out.contains("already loaded and enabled")).count(), 7);
}

#[test]
fn without_a_var_to_write_to_live_patches_still_load() {
    let system = System::new();
    let path = system.file("own.ko", &Ko::new("own", RELEASE).bytes());
    // A file is where the folder should be made: that fails for root, too.
    fs::create_dir_all(system.root().join("var/lib")).unwrap();
    fs::write(system.root().join("var/lib/kpatch"), "").unwrap();
    system.kmend(&["load", &path]).ends(0).complains("going on without it");
    assert_eq!(system.in_force(), [("own".into(), true)]);
    system.kmend(&["install", &path]).ends(1).complains("cannot open the lock /var/lib/kpatch/.lock");
}

#[test]
fn a_closed_reader_is_no_fault_and_a_full_disk_is() {
    let system = System::new();
    let mut command = system.command(Path::new(env!("CARGO_BIN_EXE_kmend")), &["list"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let said = command.stdout(full).output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stderr).contains("cannot write to standard output"));
}

#[test]
fn the_service_is_what_boot_relies_on() {
    let service = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/kpatch.service")).unwrap();
    for line in [
        "ConditionKernelCommandLine=!kpatch.enable=0",
        "Before=network-pre.target",
        "Wants=network-pre.target",
        "Type=oneshot",
        "RemainAfterExit=yes",
        "ExecStart=/usr/sbin/kpatch load --all",
        "ExecStop=-/usr/sbin/kmend shutdown-mark",
        "WantedBy=multi-user.target",
    ] {
        assert!(service.lines().any(|l| l == line), "{line}");
    }
}

/// What Cockpit's page makes of `kpatch list` (pkg/packagekit/kpatch.jsx): two blocks, and the first words of their lines.
fn cockpit(text: &str) -> Option<[Vec<&str>; 2]> {
    let parts: Vec<&str> = text.trim().split("\n\n").collect();
    let [loaded, installed] = parts[..] else { return None };
    if !loaded.starts_with("Loaded patch modules:") || !installed.starts_with("Installed patch modules:") {
        return None;
    }
    Some([loaded, installed].map(|block| block.lines().skip(1).map(|l| l.split(' ').next().unwrap_or("")).collect()))
}

#[test]
fn cockpit_reads_the_list() {
    let functions = [(name("1-2"), vec!["vmlinux/f,1".to_string()])].into_iter().collect();
    let system = System::with(Plan { functions, ..Plan::default() });
    let kpatch = kpatch(&system);
    let list = || system.run(&kpatch, &["list"]).ends(0).out;
    assert_eq!(cockpit(&list()), Some([vec![], vec![]]));
    let module = system.version("1-2");
    system.put("usr/lib/kpatch/6.1.0/x.ko", "");
    system.loaded(&module, true, true);
    fs::write(system.root().join("sys/kernel/livepatch").join(&module).join("stack_order"), "1\n").unwrap();
    system.put("proc/modules", "replaced 16384 0 - Live 0x0 (OEK)\n");
    assert_eq!(cockpit(&list()), Some([vec![&*module], vec![&*module, "x"]]));
    // To people it says more.
    assert_eq!(cockpit(&system.kmend(&["list"]).ends(0).out), None);
}
