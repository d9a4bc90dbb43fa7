// SPDX-License-Identifier: GPL-2.0-or-later
//! Help, mistakes on the command line, names of targets, an output that cannot be written to.

use super::fake::{self, Fake};
use super::tool::{collect, command, folder, put, run};
use super::Test;
use kmend_builder::target::store;
use std::fs::OpenOptions;

pub const TESTS: &[Test] = &[
    ("help_names_every_command", help_names_every_command),
    ("mistakes_are_errors_not_refusals", mistakes_are_errors_not_refusals),
    ("unknown_targets", unknown_targets),
    ("targets_are_removed_by_their_suite", targets_are_removed_by_their_suite),
    ("damaged_records", damaged_records),
    ("targets_that_changed", targets_that_changed),
    ("module_names", module_names),
    ("full_standard_output", full_standard_output),
    ("full_standard_error", full_standard_error),
    ("closed_pipe", closed_pipe),
    ("colours_on_a_terminal", colours_on_a_terminal),
    ("tables_are_whole_in_a_pipe", tables_are_whole_in_a_pipe),
];

fn help_names_every_command() {
    let cache = folder();
    let all = run(cache.path(), &["--help"]);
    all.succeeds();
    for (name, words) in [
        ("build", &["--target", "--name", "--output", "--no-replace", "FIX.patch", "Exit code"][..]),
        ("diff", &["--json", "--layout", "--output", "Exit code"]),
        ("prove", &["--target", "--json", "FILE.c", "Exit code"]),
        ("target", &["add", "list", "show", "remove"]),
        ("try", &["--target", "--probe", "--shell", "--json", "Exit code"]),
    ] {
        assert!(all.out.contains(name), "{}", all.out);
        let help = run(cache.path(), &[name, "--help"]);
        help.succeeds();
        words.iter().for_each(|w| assert!(help.out.contains(w), "{w} is missing in {}", help.out));
    }
    for flag in ["--version", "-V", "-v"] {
        let version = run(cache.path(), &[flag]);
        assert_eq!(version.succeeds().out.trim(), format!("kmend-build {}", env!("CARGO_PKG_VERSION")));
    }
}

fn mistakes_are_errors_not_refusals() {
    let cache = folder();
    // 2 says that a fix was refused: a script must not take a misspelt option for that.
    for args in [
        &[][..],
        &["bild"],
        &["build"],
        &["build", "-t", "x"],
        &["build", "--replace", "-t", "x", "y"],
        &["diff", "one.o"],
        &["prove", "-t", "x"],
        &["target"],
        &["target", "add"],
        &["target", "add", "x", "--tree", "y"],
    ] {
        run(cache.path(), args).fails(1, &["Usage: kmend-build"]);
    }
}

fn unknown_targets() {
    let cache = folder();
    let fix = put(cache.path(), "x.patch", fake::good_fix());
    for (name, how) in [
        ("debian:forky", "kmend-build target add debian:forky"),
        ("tree:mine", "kmend-build target add --tree"),
        ("nonsense", "names look like"),
        ("../../etc", "names look like"),
        ("", "names look like"),
    ] {
        let ran = run(cache.path(), &["build", "-t", name, fix.to_str().unwrap()]);
        ran.fails(1, &[&format!("no target {name:?}"), how]);
        run(cache.path(), &["target", "show", name]).fails(1, &[how]);
        run(cache.path(), &["target", "remove", name]).fails(1, &[how]);
    }
    let ran = run(cache.path(), &["build", "-t", "debian:forky", "--json", fix.to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_str(&ran.fails(1, &["no target"]).out).unwrap();
    assert_eq!((json["result"].as_str(), json["target"].as_str()), (Some("error"), Some("debian:forky")));
    assert!(json["error"].as_str().unwrap().contains("no target"), "{json}");
    let list = run(cache.path(), &["target", "list"]);
    assert!(list.succeeds().out.contains("kmend-build target add"), "{list:?}");
    let fake = Fake::new();
    run(&fake.cache(), &["build", "-t", "tree:other", fix.to_str().unwrap()]).fails(1, &["there are: tree:fake"]);
}

/// `debian:forky` means the one kernel of that suite, as with `-t`; of several it has to be said which.
fn targets_are_removed_by_their_suite() {
    let fake = Fake::new();
    let add = |name: &str| {
        let mut target = fake.target.clone();
        target.name = name.into();
        let record = format!("targets/{}/target.json", store::escape(name));
        put(&fake.cache(), &record, serde_json::to_vec(&target).unwrap());
    };
    let names = || {
        let list = run(&fake.cache(), &["target", "list", "--json"]);
        let all: Vec<serde_json::Value> = serde_json::from_str(&list.succeeds().out).unwrap();
        all.iter().map(|t| t["name"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    add("debian:forky/1.2");
    add("debian:forky/1.3");
    let remove = |name: &str| run(&fake.cache(), &["target", "remove", name]);
    remove("debian:forky").fails(1, &["debian:forky/1.2, debian:forky/1.3"]);
    assert_eq!(names(), ["debian:forky/1.2", "debian:forky/1.3", "tree:fake"]);
    remove("debian:forky/1.2").succeeds();
    assert_eq!(remove("debian:forky").succeeds().out, "removed debian:forky/1.3\n");
    assert_eq!(names(), ["tree:fake"]);
    remove("debian:fork").fails(1, &["no target"]);
}

fn damaged_records() {
    let fake = Fake::new();
    let fix = put(fake.dir.path(), "x.patch", fake::good_fix());
    let record = fake.cache().join("targets/tree%3Afake/target.json");
    let whole = std::fs::read(&record).unwrap();
    for bad in [&b""[..], b"{", b"\0\0", &whole[..whole.len() / 2]] {
        std::fs::write(&record, bad).unwrap();
        fake.build(&fix).fails(1, &["target.json is damaged", "add the target again"]);
        run(&fake.cache(), &["target", "list"]).succeeds();
    }
}

fn targets_that_changed() {
    let fake = Fake::new();
    let fix = put(fake.dir.path(), "x.patch", fake::good_fix());
    let again = "target tree:fake can no longer be used; `kmend-build target remove tree:fake";
    let mut other = fake.target.clone();
    other.cc = "gcc-99 (Some) 99.0".into();
    fake.store(&other);
    fake.build(&fix).fails(1, &[again, "the C compiler drifted", "gcc-99 (Some) 99.0", &fake.target.cc]);
    other = fake.target.clone();
    other.build_id = "cd".repeat(20);
    fake.store(&other);
    fake.build(&fix).fails(1, &[again, "is a different kernel now", "vmlinux"]);
    other = fake.target.clone();
    other.make_vars = vec!["CC=no-such-gcc".into()];
    fake.store(&other);
    fake.build(&fix).fails(1, &[again, "no-such-gcc cannot be run"]);
    fake.store(&fake.target);
    let image = std::fs::read(&fake.target.vmlinux).unwrap();
    for cut in [0, 3, 40, 64, image.len() - 10] {
        std::fs::write(&fake.target.vmlinux, &image[..cut]).unwrap();
        fake.build(&fix).fails(1, &[again, "vmlinux"]);
    }
    std::fs::write(&fake.target.vmlinux, &image).unwrap();
    std::fs::remove_file(fake.target.tree.join("scripts/module.lds")).unwrap();
    fake.build(&fix).fails(1, &[again, "scripts/module.lds is gone"]);
    std::fs::remove_file(&fake.target.symvers).unwrap();
    fake.build(&fix).fails(1, &[again, "Module.symvers is gone"]);
}

/// Runs `kmend-build` at a terminal (script(1), of bsdutils) and returns what came there.
fn at_terminal(like: &std::process::Command, env: &[(&str, &str)]) -> String {
    let words: Vec<String> = std::iter::once(like.get_program())
        .chain(like.get_args())
        .map(|w| format!("'{}'", w.to_string_lossy()))
        .collect();
    let mut command = std::process::Command::new("/usr/bin/script");
    command
        .args(["-qec", &words.join(" "), "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh");
    command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).envs(env.iter().copied());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn colours_on_a_terminal() {
    let fake = Fake::new();
    let fix = put(fake.dir.path(), "x.patch", fake::good_fix().replace("line10", "line99"));
    let mut build = fake.command(&fix);
    build.arg("-o").arg(fake.out());
    let mut help = command(&fake.cache());
    help.arg("--help");
    for like in [&build, &help] {
        let coloured = at_terminal(like, &[]);
        // Its own colours are no text that has to be made visible.
        assert!(coloured.contains("\u{1b}[") && !coloured.contains("U+001B"), "{coloured:?}");
        for env in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let plain = at_terminal(like, &[env]);
            assert!(!plain.contains("\u{1b}[1") && !plain.contains("\u{1b}[0m"), "{env:?}: {plain:?}");
        }
    }
    let piped = collect(&mut build);
    piped.fails(2, &["[patch-does-not-apply]"]);
    assert!(!piped.err.contains('\u{1b}') && !collect(&mut help).out.contains('\u{1b}'));
}

fn tables_are_whole_in_a_pipe() {
    let fake = Fake::new();
    let mut target = fake.target.clone();
    target.name = format!("tree:{}", "long-".repeat(40));
    put(
        &fake.cache(),
        &format!("targets/{}/target.json", store::escape(&target.name)),
        serde_json::to_vec(&target).unwrap(),
    );
    for (args, whole) in [
        (&["target", "list"][..], target.name.as_str()),
        (&["target", "show", &target.name], &target.name),
        (&["cache", "show"], "targets"),
    ] {
        let of = |columns: &str| collect(command(&fake.cache()).args(args).env("COLUMNS", columns)).out;
        assert_eq!(of("20"), of("400"), "{args:?}");
        assert!(of("20").contains(whole), "{}", of("20"));
    }
}

fn module_names() {
    let fake = Fake::new();
    let fix = put(fake.dir.path(), "x.patch", fake::good_fix());
    let long = "x".repeat(56);
    for name in ["", "1st", "a-b", "a b", "../x", "a/b", "ä", "a\nb", &long] {
        let mut call = fake.command(&fix);
        collect(call.arg("-n").arg(name).arg("-o").arg(fake.out())).fails(1, &["module", name.trim_end_matches("\nb")]);
        assert!(!fake.out().exists());
    }
}

fn full_standard_output() {
    let cache = folder();
    for args in [&["target", "list"][..], &["--help"], &["build", "--help"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut call = command(cache.path());
        let ran = call.args(args).stdout(full).stderr(std::process::Stdio::piped()).spawn();
        let out = ran.unwrap().wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{args:?}: {err}");
        assert!(err.contains("cannot write to standard output") && !err.contains("panicked"), "{args:?}: {err}");
    }
}

fn full_standard_error() {
    // Nothing can be said there; it must not change what comes of it.
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let fake = Fake::new();
    let status = command(&fake.cache()).args(["build", "-t", "x", "y"]).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
    let fix = put(fake.dir.path(), "x.patch", fake::good_fix().replace("line10", "line99"));
    let status = fake.command(&fix).arg("-o").arg(fake.out()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(2));
    let status = command(&fake.cache()).arg("--no-such-option").stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

fn closed_pipe() {
    let cache = folder();
    for args in [&["target", "list"][..], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut call = command(cache.path());
        let ran = call.args(args).stdout(writer).stderr(std::process::Stdio::piped()).spawn();
        let out = ran.unwrap().wait_with_output().unwrap();
        // As `kmend-build … | head` ends it: no one wants to hear of it.
        assert_eq!((out.status.code(), out.stderr.len()), (Some(0), 0), "{args:?}");
    }
}
