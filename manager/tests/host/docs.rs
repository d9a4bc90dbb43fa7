// SPDX-License-Identifier: GPL-2.0-or-later
//! docs/operators.md and docs/status.md against the program: each block ```` ```console NAME ```` there is run on the false system NAME,
//! block after block, and its output has to be what is there. `BLESS=1` writes what came out.

use super::ko::Ko;
use super::streams;
use super::system::{file, name, Plan, System, RELEASE};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

const DOCS: [&str; 2] = ["operators.md", "status.md"];

/// Three fixes; version 1-9 has the first two of them.
const FIXES: [&str; 3] = [
    "firmware: memmap: put the type into brackets",
    "proc: count the readers of the version",
    "net/sched: act_api: check the length of the cookie",
];

fn module(version: &str, fixes: &[&str]) -> Vec<u8> {
    Ko::with_manifest(&name(version), RELEASE, fixes).bytes()
}

fn system(scenario: &str) -> System {
    match scenario {
        "day" => {
            let functions = BTreeMap::from([(name("1-10"), vec!["vmlinux/type_show,17".to_string()])]);
            let system = System::with(Plan { functions, ..Plan::default() });
            system.file(&file("1-9"), &module("1-9", &FIXES[..2]));
            system.file(&file("1-10"), &module("1-10", &FIXES));
            system
        }
        "stall" => {
            let functions = BTreeMap::from([(name("1-10"), vec!["vmlinux/type_show,17".to_string()])]);
            let transitions = BTreeMap::from([((name("1-10"), true), None)]);
            let system = System::with(Plan { functions, transitions, ..Plan::default() });
            system.installed(&file("1-10"), &module("1-10", &FIXES));
            let stack = "[<0>] msleep+0x2b/0x40\n[<0>] type_show+0x1b/0x40\n[<0>] vfs_read+0x9b/0x330";
            system.task(812, 812, "cat", "0", stack);
            system
        }
        "unfit" => {
            let system = System::new();
            system.installed(&file("1-9"), &module("1-9", &FIXES[..2]));
            let cut = module("1-10", &FIXES);
            system.installed(&file("1-10"), &cut[..cut.len() - 200]);
            let mut other = Ko::with_manifest("own", RELEASE, &FIXES[..1]);
            other.manifest = other.manifest.map(|m| m.replace("abcd0102", "abcd0777"));
            system.file("own.ko", &other.bytes());
            system
        }
        "crash" => {
            let system = System::new();
            system.installed(&file("1-9"), &module("1-9", &FIXES[..2]));
            system.kmend(&["load", "--all"]).ends(0);
            system.kmend(&["shutdown-mark"]).ends(0);
            system.boots_again();
            system.installed(&file("1-10"), &module("1-10", &FIXES));
            system
        }
        "upgrade" => {
            let system = System::new();
            system.installed(&file("1-9"), &module("1-9", &FIXES[..2]));
            system.kmend(&["load", "--all"]).ends(0);
            system.kmend(&["shutdown-mark"]).ends(0);
            system.file(&file("1-10"), &module("1-10", &FIXES));
            system
        }
        "back" => {
            let system = System::new();
            system.installed(&file("1-9"), &module("1-9", &FIXES[..2]));
            system.installed(&file("1-10"), &module("1-10", &FIXES));
            let mut with_callback = Ko::with_manifest(&name("1-11"), RELEASE, &FIXES);
            let callback = r#""callbacks":[{"object":"vmlinux","kind":"post_patch"}],"unknown""#;
            with_callback.manifest = with_callback.manifest.map(|m| m.replace("\"unknown\"", callback));
            system.file(&file("1-11"), &with_callback.bytes());
            system.kmend(&["load", "--all"]).ends(0);
            system
        }
        "guarded" => {
            let system = System::new();
            system.put("sys/module/module/parameters/sig_enforce", "Y\n");
            system.file("own.ko", &module("1-10", &FIXES));
            system
        }
        "transition" => {
            let functions = BTreeMap::from([(name("1-10"), vec!["vmlinux/type_show,17".to_string()])]);
            let system = System::with(Plan { functions, ..Plan::default() });
            system.installed(&file("1-10"), &module("1-10", &FIXES));
            system.loaded(&name("1-10"), true, true);
            system.task(812, 812, "collector", "0", "[<0>] msleep+0x2b/0x40\n[<0>] type_show+0x1b/0x40");
            system.put("proc/812/cmdline", "/usr/sbin/collector\0--all\0");
            system.put("proc/812/cgroup", "0::/system.slice/collector.service\n");
            system
        }
        "dnf" => {
            let system = System::new();
            system.program("dnf", "case \"$*\" in *repoquery*) echo kpatch-patch-5_14_0-362_8_1 1 11.el9_3;; esac");
            system.program("rpm", "case \"$*\" in *patches) ;; *) echo kpatch-patch-5_14_0-362_8_1;; esac");
            system
        }
        "stream" | "update" | "expired" | "reboot" => {
            let system = System::new();
            let cves = [["CVE-2026-1001"], ["CVE-2026-1002"], ["CVE-2026-1010"]];
            let fixes = FIXES.iter().zip(cves).zip(["1-1", "1-9", "1-10"]);
            let mut fixes: Vec<_> = fixes.map(|((title, cves), since)| streams::fix(title, &cves, since)).collect();
            let why = "drivers/net/wireless/x.c: drivers/net/wireless/Makefile, line 12: it needs CONFIG_X, which this kernel does not set";
            fixes.push(streams::missing("wifi: x: check the length of a frame", &["CVE-2026-1011"], "not-built", why));
            streams::install(&system, "1-10", &fixes, streams::stream("1-10"));
            system.kmend(&["load", "--all"]).ends(0);
            match scenario {
                "update" => streams::available(&system, Some("1-11")),
                "reboot" => streams::kernel(&system, "5.14.0-362.13.1.el9_3.x86_64"),
                _ => {}
            }
            system
        }
        other => panic!("the docs have a block for the system {other:?}, which is not in this test"),
    }
}

/// When it is there.
fn now(scenario: &str) -> &'static str {
    match scenario {
        "expired" => "2027-09-20T09:00:00Z",
        _ => streams::NOW,
    }
}

/// What crashes a host on purpose (Documentation/admin-guide/sysrq.rst).
const CRASH: &str = "echo c >/proc/sysrq-trigger";

/// Runs `kmend …`, with `; echo $?` behind it or not; both outputs in the order in which they come. [`CRASH`] crashes
/// the host, which boots again.
fn run(system: &System, line: &str) -> String {
    if line == CRASH {
        system.boots_again();
        return String::new();
    }
    let (line, code) = line.strip_suffix("; echo $?").map_or((line, false), |line| (line, true));
    let args: Vec<&str> = line.split(' ').collect();
    assert_eq!(args[0], "kmend", "{line}");
    let path = system.root().join("said");
    let said = File::create(&path).unwrap();
    let mut command = system.command(Path::new(env!("CARGO_BIN_EXE_kmend")), &args[1..]);
    let status = command.stdout(said.try_clone().unwrap()).stderr(said).status().unwrap();
    let mut text = fs::read_to_string(&path).unwrap();
    if code {
        text += &format!("{}\n", status.code().unwrap());
    }
    text
}

#[test]
fn what_the_docs_show_is_what_comes_out() {
    let commands: usize = DOCS.map(compare).iter().sum();
    assert!(commands > 20, "{commands} commands are too few: were the blocks found?");
}

/// How many commands there are in a file of the docs; its output has to be what comes out.
fn compare(name: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let docs = fs::read_to_string(&path).unwrap();
    let mut systems: BTreeMap<String, System> = BTreeMap::new();
    let mut fresh = String::new();
    let mut block: Option<String> = None;
    let mut commands = 0;
    for line in docs.lines() {
        match (&block, line.strip_prefix("```console ")) {
            (None, Some(scenario)) => {
                block = Some(scenario.into());
                systems.entry(scenario.into()).or_insert_with(|| streams::at(self::system(scenario), now(scenario)));
            }
            (Some(_), _) if line == "```" => block = None,
            (Some(scenario), _) => {
                if let Some(command) = line.strip_prefix("$ ") {
                    commands += 1;
                    fresh += &format!("{line}\n{}", run(&systems[scenario], command));
                }
                continue;
            }
            (None, None) => {}
        }
        fresh += &format!("{line}\n");
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, fresh).unwrap();
        return commands;
    }
    let differ = docs.lines().zip(fresh.lines()).position(|(a, b)| a != b);
    assert!(docs == fresh, "docs/{name}, line {:?}: run this test with BLESS=1\n{fresh}", differ.map(|n| n + 1));
    commands
}
