// SPDX-License-Identifier: GPL-2.0-or-later
//! Output that cannot be written: said before the long work where it can be known, and nothing half-written.

use super::fake::{good_fix, Fake};
use super::tool::{collect, command, folder, names, on_full_disk, put};
use super::Test;

pub const TESTS: &[Test] = &[
    ("folders_that_cannot_be_written", folders_that_cannot_be_written),
    ("full_disk_under_diff", full_disk_under_diff),
    ("full_disk_under_the_cache", full_disk_under_the_cache),
    ("full_disk_under_the_work_folder", full_disk_under_the_work_folder),
    ("unwritable_cache", unwritable_cache),
];

fn folders_that_cannot_be_written() {
    let fake = Fake::new();
    let fix = put(fake.dir.path(), "x.patch", good_fix());
    let file = put(fake.dir.path(), "file", b"mine");
    for (out, why) in [
        (file.clone(), "file"),
        (file.join("below"), "file"),
        ("/proc/kmend".into(), "/proc"),
        ("/dev/null/x".into(), "/dev/null"),
        ("/sys/kernel/x".into(), "/sys/kernel"),
    ] {
        let ran = collect(fake.command(&fix).arg("-o").arg(&out));
        ran.fails(1, &["cannot write to the output folder", why]);
        // It is said before anything is compiled.
        assert!(!ran.err.contains("finding"), "{}", ran.err);
    }
    assert_eq!(std::fs::read(file).unwrap(), b"mine");
}

fn full_disk_under_diff() {
    let dir = folder();
    let mount = dir.path().join("small");
    std::fs::create_dir(&mount).unwrap();
    let compile = |name: &str, add: &str| {
        let source = put(dir.path(), "unit.c", format!("int a[9]; int f(int x) {{ return a[x] + {add}; }}\n"));
        let object = dir.path().join(name);
        let mut cc = std::process::Command::new("cc");
        cc.args(super::objects::FLAGS).arg("-o").args([&object, &source]);
        assert!(cc.status().unwrap().success());
        object
    };
    let (original, patched) = (compile("a.o", "1"), compile("b.o", "a[2] * 7"));
    let mut diff = command(dir.path());
    diff.arg("diff").args([&original, &patched]).arg("-o").arg(mount.join("x.o"));
    let (ran, left) = on_full_disk(&diff, &mount, 8, 4);
    ran.succeeds();
    assert_eq!(left, ["x.o"]);
    let (ran, left) = on_full_disk(&diff, &mount, 8, 0);
    ran.fails(1, &["cannot write", "x.o", "is the disk full?", "No space left on device"]);
    assert!(left.is_empty(), "{left:?}");
}

fn full_disk_under_the_cache() {
    let dir = folder();
    let mount = dir.path().join("cache");
    std::fs::create_dir(&mount).unwrap();
    let mut add = command(&mount);
    add.args(["target", "add", "--tree"]).arg(dir.path().join("none"));
    let (ran, _) = on_full_disk(&add, &mount, 8, 0);
    ran.fails(1, &["none"]);
}

fn full_disk_under_the_work_folder() {
    let fake = Fake::new();
    let fix = put(fake.dir.path(), "x.patch", good_fix());
    let mount = fake.dir.path().join("small");
    std::fs::create_dir(&mount).unwrap();
    let mut build = fake.command(&fix);
    build.arg("-o").arg(fake.out()).env("TMPDIR", &mount);
    let (ran, left) = on_full_disk(&build, &mount, 8, 0);
    ran.fails(1, &["is the disk full?", "No space left on device"]);
    assert!(left.is_empty(), "{left:?}");
    assert!(names(&fake.out()).is_empty());
    let ran = collect(fake.command(&fix).arg("-o").arg(fake.out()).env("TMPDIR", "/no/such/folder"));
    ran.fails(1, &["cannot make a temporary folder", "/no/such/folder"]);
}

fn unwritable_cache() {
    let dir = folder();
    let file = put(dir.path(), "file", b"");
    let mut show = command(&file.join("cache"));
    collect(show.args(["target", "show", "debian:forky"])).fails(1, &["file/cache"]);
    let mut remove = command(&file.join("cache"));
    collect(remove.args(["target", "remove", "debian:forky"])).fails(1, &["file/cache"]);
}
