// SPDX-License-Identifier: GPL-2.0-or-later
//! kbuild's own calls of make for an external module: a target and make's arguments in, a script of these calls out.
//!
//! The kernel's top makefile asks the compiler some fifty times what it can before it does anything, which takes longer
//! than to make the module, and the answers are the same for each module of a kernel. They end up in the environment of
//! the makes that do the work (scripts/Makefile.build, .modpost and .modfinal), which are called the same for each module
//! too, as it always is in the same folder. So a trial module goes the whole way once, with a program instead of make
//! that writes down how it is called; live patches begin where the top makefile's work ends.

use super::{bindings, cache};
use crate::sandbox::WORK;
use crate::target::kbuild;
use crate::target::Target;
use crate::{files, progress};
use anyhow::{ensure, Context, Result};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The script, in the folder that is kept.
pub const SCRIPT: &str = "calls.sh";

/// Stands in for make in the trial: writes down where and with what it is called, and calls it.
const RECORD: &str = "#!/bin/sh
at=/tmp/kmend/work/calls/$(ls /tmp/kmend/work/calls | wc -l)
{ printf '%s\\0' \"$#\" \"$(pwd -P)\" \"$@\"; env -0; } > \"$at\"
exec make \"$@\"
";

/// The trial module: its makefile and its source.
const TRIAL: [(&str, &str); 2] = [
    ("Kbuild", "obj-m := trial.o\n"),
    (
        "trial.c",
        "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(\"Shows how modules are made\");\n",
    ),
];

/// What modules have in common besides, from 6.14 on (scripts/Makefile.modfinal): the object, and its command by which
/// kbuild knows that it need not be made anew.
const COMMON: [&str; 2] = [".module-common.o", "..module-common.o.cmd"];

/// A file in the folder that is kept in place of the [`SCRIPT`] where kbuild's calls are not known: what they were.
const UNKNOWN: &str = "unknown-calls.txt";

/// What is kept is read by programs of other versions too: one that writes it otherwise has another number here.
const FORM: &str = "2";

/// kbuild's own calls, by the makefile: today's, and those of 5.10, where the second one makes the third.
const STEPS: [&[&str]; 2] = [
    &["scripts/Makefile.build", "scripts/Makefile.modpost", "scripts/Makefile.modfinal"],
    &["scripts/Makefile.build", "scripts/Makefile.modpost"],
];

/// One call of make.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    dir: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// The folder with the [`SCRIPT`] that does what `make args…` does, for a module in the folder [`WORK`]; what modules have
/// in common is put into `dir`, which is there. None where the tree is not kmend's own, and so may change, and where
/// kbuild calls itself in a way that is not known.
pub fn known(target: &Target, args: &[&str], dir: &Path) -> Result<Option<PathBuf>> {
    if !kbuild::owns(target) {
        return Ok(None);
    }
    let depends = depends(target, args)?;
    let parts: Vec<&str> = depends.iter().map(String::as_str).collect();
    let kept = cache::of_kbuild(&parts, |new| {
        let step = progress::step("asking kbuild how it makes modules (kept for the next time)");
        record(target, args, new)?;
        step.done("");
        Ok(())
    })?;
    for file in COMMON {
        if let Ok(bytes) = std::fs::read(kept.join(file)) {
            files::write(&dir.join(file), &bytes)?;
        }
    }
    Ok(Some(kept).filter(|kept| kept.join(SCRIPT).exists()))
}

/// All that the answers depend on: kmend's own trees change only when they are made anew.
fn depends(target: &Target, args: &[&str]) -> Result<Vec<String>> {
    let mut parts =
        vec![kbuild::tree_id(target), target.cc.clone(), target.root.display().to_string(), RECORD.into(), FORM.into()];
    parts.extend(bindings::seen(target)?);
    parts.extend(args.iter().map(|arg| arg.to_string()));
    parts.extend(target.make_env.iter().map(|(name, value)| format!("{name}={value}")));
    for file in ["Makefile", "include/generated/autoconf.h", "scripts/mod/modpost"] {
        let path = target.tree.join(file);
        let made = path.metadata().and_then(|meta| meta.modified());
        let made = made.with_context(|| format!("cannot read {}", path.display()))?;
        parts.push(format!("{}", made.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos()));
    }
    Ok(parts)
}

/// Makes the trial module, and puts into `new` what is kept of that.
fn record(target: &Target, args: &[&str], new: &Path) -> Result<()> {
    let dir = files::work_dir()?;
    for (file, text) in TRIAL.iter().chain([&("make", RECORD)]) {
        files::write(&dir.path().join(file), text.as_bytes())?;
    }
    let calls = dir.path().join("calls");
    std::fs::create_dir(&calls).with_context(|| format!("cannot make folder {}", calls.display()))?;
    let (sandbox, _) = super::sandbox(target, dir.path())?;
    let make = format!("MAKE=sh {WORK}/make");
    let all: Vec<&str> = [make.as_str()].into_iter().chain(args.iter().copied()).collect();
    let out = sandbox.run("make", &all).with_context(|| format!("cannot make a module for {}", target.name))?;
    super::complaints("a module of kmend's", &String::from_utf8_lossy(&out.stderr), &[])?;
    ensure!(dir.path().join("trial.ko").exists(), "kbuild of {} makes no modules", target.name);
    let written = (0..).map(|n| calls.join(n.to_string())).take_while(|file| file.exists());
    let written = written.map(|file| read(&files::read(&file)?)).collect::<Result<Vec<_>>>()?;
    let calls = at_work(written);
    match script(&calls) {
        Some(script) => files::write(&new.join(SCRIPT), script.as_bytes())?,
        None => files::write(&new.join(UNKNOWN), format!("{calls:#?}\n").as_bytes())?,
    }
    for file in COMMON.iter().filter(|file| dir.path().join(file).exists()) {
        files::write(&new.join(file), &files::read(&dir.path().join(file))?)?;
    }
    Ok(())
}

/// Reads what [`RECORD`] wrote down.
fn read(bytes: &[u8]) -> Result<Call> {
    let text = std::str::from_utf8(bytes).context("a call of make that kbuild makes is no UTF-8")?;
    let mut words = text.split_terminator('\0').map(String::from);
    let count = words.next().and_then(|count| count.parse().ok()).context("a call of make was not written down")?;
    let dir = words.next().context("a call of make has no folder")?;
    let args: Vec<String> = words.by_ref().take(count).collect();
    let variable = |word: String| word.split_once('=').map(|(name, value)| (name.to_string(), value.to_string()));
    Ok(Call { dir, args, env: words.filter_map(variable).collect() })
}

/// The calls that the top makefile makes for the work itself: those of scripts/Makefile.*, and not what they call.
fn at_work(calls: Vec<Call>) -> Vec<Call> {
    let works = |call: &Call| {
        let file = call.args.iter().position(|arg| arg == "-f").and_then(|at| call.args.get(at + 1));
        file.is_some_and(|file| file.contains("scripts/Makefile."))
    };
    let level = |call: &Call| call.env.iter().find(|(name, _)| name == "MAKELEVEL")?.1.parse::<u32>().ok();
    let mut calls: Vec<Call> = calls.into_iter().filter(works).collect();
    let top = calls.iter().filter_map(level).min();
    calls.retain(|call| level(call) == top);
    calls
}

/// The script that makes the calls in their order; None where these are not kbuild's [`STEPS`].
fn script(calls: &[Call]) -> Option<String> {
    let is = |call: &Call, file: &str| call.args.iter().any(|arg| arg.ends_with(file));
    let fits =
        |steps: &[&str]| calls.len() == steps.len() && calls.iter().zip(steps).all(|(call, file)| is(call, file));
    if !STEPS.iter().any(|steps| fits(steps)) {
        return None;
    }
    let mut text = String::from("set -e\n");
    for call in calls {
        text += &format!("cd {}\nenv -i", quoted(&call.dir));
        for (name, value) in &call.env {
            let value = match name.as_str() {
                "MAKEFLAGS" => flags(value),
                "MFLAGS" => continue,
                // The program instead of make is gone: makefiles that call make themselves (Makefile.modpost of 5.10)
                // do not find it.
                "MAKE" => continue,
                _ => value.clone(),
            };
            text += &format!(" \\\n  {}", quoted(&format!("{name}={value}")));
        }
        let args: Vec<String> = call.args.iter().map(|arg| quoted(arg)).collect();
        text += &format!(" \\\n  make -j2 {}\n", args.join(" "));
    }
    Some(text)
}

/// make's flags and variables without what only the trial had: its jobs, and the program instead of make.
fn flags(value: &str) -> String {
    // A blank within a variable has a backslash before it.
    let mut words: Vec<String> = Vec::new();
    for word in value.split(' ') {
        match words.last_mut() {
            Some(last) if last.ends_with('\\') => *last += &format!(" {word}"),
            _ => words.push(word.into()),
        }
    }
    let trial = |word: &str| word.starts_with("-j") || word.starts_with("--jobserver") || word.starts_with("MAKE=");
    words.retain(|word| !trial(word));
    words.join(" ")
}

/// One word for the shell.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(level: u32, makefile: &str, flags: &str) -> Call {
        let args = ["-f", makefile, "obj=."].map(|arg| format!("{arg}\0")).concat();
        read(
            format!("3\0/tmp/kmend/work\0{args}MAKELEVEL={level}\0MAKE=sh /w/make\0MAKEFLAGS={flags}\0A=it's\n2\0")
                .as_bytes(),
        )
        .unwrap()
    }

    #[test]
    fn the_top_makefiles_calls_become_a_script() {
        let all = || {
            vec![
                written(1, "/k/Makefile", ""),
                written(
                    2,
                    "/k/scripts/Makefile.build",
                    "rR -j1 --jobserver-auth=3,4 -- MAKE=sh\\ /w/make CC=gcc\\ -m64",
                ),
                written(3, "/k/scripts/Makefile.build", ""),
                written(2, "/k/scripts/Makefile.modpost", ""),
                written(2, "/k/scripts/Makefile.modfinal", ""),
            ]
        };
        let script = script(&at_work(all())).unwrap();
        let first =
            "set -e\ncd '/tmp/kmend/work'\nenv -i \\\n  'MAKELEVEL=2' \\\n  'MAKEFLAGS=rR -- CC=gcc\\ -m64' \\\n  \
                     'A=it'\\''s\n2' \\\n  make -j2 '-f' '/k/scripts/Makefile.build' 'obj=.'\ncd ";
        assert!(script.starts_with(first), "{script}");
        assert_eq!(script.matches("make -j2").count(), 3);
    }

    /// As in 5.10, where Makefile.modpost calls Makefile.modfinal.
    #[test]
    fn two_calls_before_5_16() {
        let all = vec![
            written(2, "/k/scripts/Makefile.build", ""),
            written(2, "/k/scripts/Makefile.modpost", ""),
            written(3, "/k/scripts/Makefile.modfinal", ""),
        ];
        let script = script(&at_work(all)).unwrap();
        assert_eq!(script.matches("make -j2").count(), 2);
        assert!(!script.contains("modfinal") && !script.contains("/w/make"), "{script}");
    }

    #[test]
    fn other_calls_are_not_taken_for_kbuilds() {
        let unknown = vec![written(1, "/k/scripts/Makefile.build", ""), written(1, "/k/scripts/Makefile.new", "")];
        assert_eq!(script(&at_work(unknown)), None);
        assert_eq!(script(&[]), None);
        let without_modpost = vec![written(1, "/k/scripts/Makefile.build", "")];
        assert_eq!(script(&at_work(without_modpost)), None);
        read(b"").unwrap_err();
        read(b"x\0/\0").unwrap_err();
    }
}
