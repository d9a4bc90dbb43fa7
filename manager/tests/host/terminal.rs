// SPDX-License-Identifier: GPL-2.0-or-later
//! What a terminal gets and a pipe does not: colours. A pipe gets every line whole.

use super::ko::Ko;
use super::system::{name, Plan, System, RELEASE};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Runs `kmend` at a terminal (script(1), of bsdutils) and returns what came there.
fn at_terminal(system: &System, args: &str, env: &[(&str, &str)]) -> String {
    let inner = system.command(&super::program(), &[]);
    let mut command = Command::new("/usr/bin/script");
    command.args(["-qec", &format!("{} {args}", super::program().display()), "/dev/null"]);
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).env_remove("NO_COLOR");
    command.env("TERM", "xterm").env("SHELL", "/bin/sh").envs(env.iter().copied());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_terminal_gets_colours_and_nothing_else_does() {
    let system = System::new();
    let coloured = at_terminal(&system, "status", &[]);
    assert!(coloured.starts_with("\u{1b}["), "{coloured:?}");
    assert!(at_terminal(&system, "load nobody", &[]).contains('\u{1b}'));
    for env in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = at_terminal(&system, "status", &[env]);
        assert!(!plain.contains('\u{1b}') && plain.contains("kernel: "), "{env:?}: {plain:?}");
    }
    let piped = system.kmend(&["status"]);
    assert!(!piped.out.contains('\u{1b}') && !system.kmend(&["load", "nobody"]).err.contains('\u{1b}'));
}

#[test]
fn nothing_is_cut_in_a_pipe() {
    let long = format!("vmlinux/{},17", "a_long_name_of_a_function".repeat(10));
    let functions = BTreeMap::from([(name("1-10"), vec![long])]);
    let system = System::with(Plan { functions, ..Plan::default() });
    let title = "a long title of a fix ".repeat(20);
    system.installed(&super::system::file("1-10"), &Ko::with_manifest(&name("1-10"), RELEASE, &[title.trim()]).bytes());
    system.kmend(&["load", "--all"]).ends(0);
    let piped = |args: &[&str], columns: &str| {
        let mut command = system.command(&super::program(), args);
        String::from_utf8(command.env("COLUMNS", columns).output().unwrap().stdout).unwrap()
    };
    let file = format!("var/lib/kpatch/{RELEASE}/{}", super::system::file("1-10"));
    assert!(Path::new(&system.root().join(&file)).is_file());
    let module = name("1-10");
    for (args, whole) in [
        (&["list"][..], module.as_str()),
        (&["status"], title.trim()),
        (&["info", &module], title.trim()),
        (&["cve"], ""),
        (&["uname"], ""),
        (&["transition"], ""),
    ] {
        let narrow = piped(args, "20");
        assert_eq!(narrow, piped(args, "400"), "{args:?}");
        assert!(narrow.contains(whole), "{args:?}: {narrow}");
    }
}
