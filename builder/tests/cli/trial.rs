// SPDX-License-Identifier: GPL-2.0-or-later
//! `kmend-build try`: bad input without a guest; a live patch that is well, and one that is not, in guests of the prepared kernel.

use super::fake::{Fake, NAME};
use super::kernel::{build_change, stored, SMALL};
use super::tool::{collect, command, folder, put, run, Ran};
use super::Test;
use kmend_builder::files;
use kmend_builder::target::{modules, Target};
use serde_json::Value;
use std::path::{Path, PathBuf};

pub const TESTS: &[Test] = &[
    ("mistakes", mistakes),
    ("probes_that_are_none", probes_that_are_none),
    ("modules_that_are_none", modules_that_are_none),
];

pub const WITH_TARGET: &[Test] = &[
    ("a_live_patch_that_is_well", a_live_patch_that_is_well),
    ("a_warning_is_noticed", a_warning_is_noticed),
    ("no_live_patch_of_this_kernel", no_live_patch_of_this_kernel),
];

/// Tries `module` on the fake target.
fn fake_try(fake: &Fake, module: &Path, more: &[&str]) -> Ran {
    collect(command(&fake.cache()).arg("try").arg(module).args(["-t", NAME]).args(more))
}

fn mistakes() {
    let cache = folder();
    let module = put(cache.path(), "x.ko", "x");
    let module = module.to_str().unwrap();
    for args in [
        &["try"][..],
        &["try", module],
        &["try", module, "-t", "x", "--timeout", "0"],
        &["try", module, "-t", "x", "--timeout", "3601"],
        &["try", module, "-t", "x", "--expect-change"],
        &["try", module, "-t", "x", "--shell", "--json"],
    ] {
        run(cache.path(), args).fails(1, &["--help"]);
    }
    run(cache.path(), &["try", module, "-t", "tree:gone"]).fails(1, &["no target \"tree:gone\""]);
    run(cache.path(), &["try", module, "-t", "tree:gone", "--shell"]).fails(1, &["needs a terminal"]);
}

fn probes_that_are_none() {
    let fake = Fake::new();
    let module = put(fake.dir.path(), "x.ko", "x");
    for (name, bytes) in [("empty", vec![]), ("binary", vec![0, 1, 2]), ("large", vec![b'x'; (1 << 20) + 1])] {
        let probe = put(fake.dir.path(), name, bytes);
        fake_try(&fake, &module, &["--probe", probe.to_str().unwrap()]).fails(1, &[name]);
    }
    for none in ["/nowhere/probe.sh", "/", "/dev/zero"] {
        fake_try(&fake, &module, &["--probe", none]).fails(1, &[none]);
    }
}

fn modules_that_are_none() {
    let fake = Fake::new();
    for (name, bytes) in [("empty.ko", &b""[..]), ("text.ko", b"no module"), ("cut.ko.xz", b"\xfd7zXZ\0")] {
        let module = put(fake.dir.path(), name, bytes);
        let ran = fake_try(&fake, &module, &["--json"]);
        let json: Value = serde_json::from_str(&ran.fails(1, &[name]).out).unwrap();
        assert_eq!((&json["result"], &json["schema_version"]), (&"error".into(), &1.into()));
    }
    fake_try(&fake, &fake.dir.path().join("gone.ko"), &[]).fails(1, &["gone.ko"]);
    fake_try(&fake, fake.dir.path(), &[]).fails(1, &["it is a directory"]);
    let large = fake.dir.path().join("large.ko");
    // It has no blocks: reading it would take a terabyte of memory.
    std::fs::File::create(&large).unwrap().set_len(1 << 40).unwrap();
    fake_try(&fake, &large, &[]).fails(1, &["large.ko"]);
}

/// A live patch of one function, with `to` in the place of the end of its line.
fn built(target: &Target, dir: &Path, to: &str) -> PathBuf {
    build_change(target, dir, SMALL, &[("seq_putc(m, '\\n');", to)], None).succeeds();
    dir.join("kmend_hooked.ko")
}

/// Tries it with a probe that reads what the function writes.
fn tried(target: &Target, dir: &Path, to: &str) -> (Ran, Value) {
    let module = built(target, dir, to);
    let probe = put(dir, "probe.sh", "cat /proc/cmdline\necho \"$1 $KMEND_MODULES\" >&2\n");
    let mut command = command(&files::cache_dir().unwrap());
    command.arg("try").arg(module).args(["-t", &target.name, "--json", "--expect-change", "--probe"]).arg(probe);
    let ran = collect(&mut command);
    let json = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    (ran, json)
}

fn a_live_patch_that_is_well() {
    let (target, dir) = (stored("KMEND_TEST_TARGET"), folder());
    let (ran, json) = tried(&target, dir.path(), "seq_puts(m, \" changed\\n\");");
    ran.succeeds();
    assert_eq!(json["result"], "passed", "{json:#}");
    let run = &json["runs"][0];
    assert_eq!((json["runs"].as_array().map(Vec::len), &run["modules"]), (Some(1), &"plain".into()));
    let line = |phase: &str| run["probe"][phase]["stdout"][0].as_str().unwrap_or_default().to_string();
    assert_eq!(line("patched"), line("before") + " changed");
    assert_eq!((line("reverted"), &run["probe"]["before"]["exit"]), (line("before"), &0.into()));
    assert_eq!(run["probe"]["patched"]["stderr"][0], "patched plain");
    let function = &run["functions"][0];
    assert_eq!((&function["name"], &function["object"]), (&"cmdline_proc_show".into(), &"vmlinux".into()));
    assert!(function["entries"].as_u64() >= Some(1), "{json:#}");
    assert_eq!(run["objects"][0], serde_json::json!({"name": "vmlinux", "loaded": true, "patched": true}));
}

fn a_warning_is_noticed() {
    let (target, dir) = (stored("KMEND_TEST_TARGET"), folder());
    let (ran, json) = tried(&target, dir.path(), "WARN_ON(m);\n\tseq_putc(m, '\\n');");
    ran.fails(4, &["faults"]);
    assert_eq!(json["result"], "failed");
    let faults = json["runs"][0]["faults"].as_array().unwrap();
    let codes: Vec<&str> = faults.iter().filter_map(|f| f["code"].as_str()).collect();
    // The warning taints the kernel, and the probe sees no change.
    assert_eq!(codes, ["log", "taint", "probe-unchanged"], "{json:#}");
    assert!(json["runs"][0]["log"][0].as_str().unwrap().contains("WARNING: "));
}

fn no_live_patch_of_this_kernel() {
    let (target, dir) = (stored("KMEND_TEST_TARGET"), folder());
    let cache = files::cache_dir().unwrap();
    let shipped = modules::find(&target, "zram").unwrap();
    let ran = run(&cache, &["try", shipped.to_str().unwrap(), "-t", &target.name, "--json"]);
    let json: Value = serde_json::from_str(&ran.fails(2, &["livepatch=Y"]).out).unwrap();
    assert_eq!(json["result"], "refused");
    // One that was built for another kernel of the same release.
    let mut bytes = std::fs::read(built(&target, dir.path(), "seq_puts(m, \"!\\n\");")).unwrap();
    let id = target.build_id.as_bytes();
    let at = bytes.windows(id.len()).position(|w| w == id).expect("the manifest names the build id");
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    let other = put(dir.path(), "other.ko", bytes);
    run(&cache, &["try", other.to_str().unwrap(), "-t", &target.name]).fails(2, &["build id"]);
}
