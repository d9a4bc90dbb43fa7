// SPDX-License-Identifier: GPL-2.0-or-later
//! One module of a whole sample: the sample in, the module and what had to be left out of it out. Whatever kmend-build
//! refuses is left out by name, and it is built again.

use super::choose::Source;
use super::edit::{self, Function};
use super::left::{blame, is_left, Known, Left};
use super::NAME;
use crate::corpus::run::replaces;
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::diff::warnings::Warning;
use kmend_builder::error::Refusal;
use kmend_builder::files;
use kmend_builder::manifest::Manifest;
use kmend_builder::target::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Builds before it is given up.
const ROUNDS: usize = 40;

/// The code of what ended with an error.
const ERROR: &str = "error";

/// What came out.
pub struct Built {
    /// The module.
    pub module: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// The functions that it replaces, `object/name,sympos`.
    pub replaces: Vec<String>,
    /// Of how many units.
    pub units: usize,
    /// Its livepatch relocations.
    pub relocations: usize,
    /// What was left out.
    pub left: Vec<Left>,
    /// The builds.
    pub rounds: Vec<Round>,
}

/// One build.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// How long it took.
    pub seconds: f32,
    /// How many functions and files were left out after it.
    pub left: usize,
}

/// What `kmend-build build --json` prints, as far as it matters here.
#[derive(Deserialize)]
struct Said {
    manifest: Option<Manifest>,
    #[serde(default)]
    refusals: Vec<Refusal>,
}

/// Builds until it goes through.
pub fn build(target: &Target, kmend_build: &Path, sources: &[Source], known: &Known, work: &Path) -> Result<Built> {
    let is_here = |l: &Left| sources.iter().any(|s| s.path == l.source);
    let mut left: Vec<Left> = known.read()?.into_iter().filter(is_here).collect();
    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS {
        let fix = work.join("nop.patch");
        let text: String = sources.iter().map(|s| edit::patch(&s.path, &s.text, &changed(s, &left))).collect();
        ensure!(!text.is_empty(), "nothing is left of the sample");
        files::write(&fix, format!("Subject: nothing, everywhere\n\n{text}").as_bytes())?;
        let begun = Instant::now();
        let (code, said, complaint) = once(target, kmend_build, &fix, work)?;
        let seconds = begun.elapsed().as_secs_f32();
        let new = match (code, said) {
            (Some(0), Some(Said { manifest: Some(manifest), .. })) => {
                let endless = blame_all(sources, &left, &endless(sources, &left, &manifest.warnings));
                if endless.is_empty() {
                    rounds.push(Round { seconds, left: 0 });
                    println!("build {}: {seconds:.0} s, built", rounds.len());
                    return finished(work, &manifest, left, rounds);
                }
                endless
            }
            (Some(2), Some(said)) => blame_all(sources, &left, &said.refusals),
            (Some(1), _) => in_error(sources, &left, &complaint),
            _ => bail!("kmend-build ended with {code:?} (none: a signal):\n{complaint}"),
        };
        ensure!(
            !new.is_empty(),
            "build {} ended with {code:?}, and no function of the sample is to blame:\n{complaint}",
            rounds.len() + 1
        );
        rounds.push(Round { seconds, left: new.len() });
        println!("build {}: {seconds:.0} s, {} left out:", rounds.len(), new.len());
        new.iter().for_each(|l| println!("  {} {}: [{}] {}", l.source, l.function, l.code, first_line(&l.reason)));
        // An error may be of the moment.
        known.keep(&new.iter().filter(|l| l.code != ERROR).cloned().collect::<Vec<_>>())?;
        left.extend(new);
    }
    bail!("{ROUNDS} builds, and still something is refused");
}

/// What kmend-build warns of functions in which a task may stay: kthread() is on the stack of each kernel thread, and with it
/// the transition would never end. Once for each file that has a function of the name. Of one in which tasks only sleep, such as
/// kthread_worker_fn(), no more is left out than itself and what it names: a task is seldom in it, and its whole file would go.
fn endless(sources: &[Source], left: &[Left], warnings: &[Warning]) -> Vec<Refusal> {
    let of_file = |w: &Warning, s: &Source| Refusal::new(&w.code, &w.symbol, &s.path, w.reason.clone(), "");
    let keeps = |w: &Warning, s: &Source| {
        let mut own = s.functions.iter().filter(|f| f.has_symbol(&w.symbol));
        match w.code.as_str() {
            "never-returns" | "thread-loop" => own.next().is_some(),
            "sleeps" => own.any(|f| {
                let named = edit::mentions(&s.text, f);
                changed(s, left).iter().any(|c| c.name == f.name || named.contains(c.name.as_str()))
            }),
            _ => false,
        }
    };
    let of_files = |w| sources.iter().filter(move |s| keeps(w, s)).map(move |s| of_file(w, s));
    warnings.iter().flat_map(of_files).collect()
}

/// The functions of `source` that are changed.
pub fn changed<'s>(source: &'s Source, left: &[Left]) -> Vec<&'s Function> {
    source.functions.iter().filter(|f| f.never.is_none() && !is_left(left, &source.path, &f.name)).collect()
}

fn finished(work: &Path, manifest: &Manifest, left: Vec<Left>, rounds: Vec<Round>) -> Result<Built> {
    let module = work.join(format!("{NAME}.ko"));
    let bytes = std::fs::metadata(&module).with_context(|| format!("no {}", module.display()))?.len();
    let units = manifest.units.iter().filter(|u| u.functions.iter().any(|f| f.status == "changed")).count();
    Ok(Built {
        module,
        bytes,
        replaces: replaces(manifest),
        units,
        relocations: manifest.livepatch_relocations,
        left,
        rounds,
    })
}

/// One run of kmend-build: its exit code, what it printed, and what it complains about. Its progress is kept in `build.log`.
fn once(target: &Target, kmend_build: &Path, fix: &Path, work: &Path) -> Result<(Option<i32>, Option<Said>, String)> {
    let output = Command::new(kmend_build)
        .args(["build", "-t", &target.name, "-n", NAME, "--json", "--max-units", "100000", "-o"])
        .arg(work)
        .arg(fix)
        .output()
        .with_context(|| format!("cannot start {}", kmend_build.display()))?;
    files::write(&work.join("build.log"), &output.stderr)?;
    files::write(&work.join("build.json"), &output.stdout)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    // Lines of progress name files too.
    let last = errors.rfind("kmend-build: ").or_else(|| errors.rfind("panicked at"));
    let complaint = last.map_or_else(|| errors.lines().last().unwrap_or_default(), |at| &errors[at..]);
    Ok((output.status.code(), serde_json::from_slice(&output.stdout).ok(), complaint.into()))
}

fn blame_all(sources: &[Source], left: &[Left], refusals: &[Refusal]) -> Vec<Left> {
    let mut new: Vec<Left> = Vec::new();
    for refusal in refusals {
        for one in blame(sources, left, refusal) {
            if !is_left(&new, &one.source, &one.function) {
                new.push(one);
            }
        }
    }
    new
}

/// An error instead of a refusal: the files of the sample that it names are left out whole.
fn in_error(sources: &[Source], left: &[Left], complaint: &str) -> Vec<Left> {
    let words: BTreeSet<&str> = complaint.split(|c: char| c.is_whitespace() || ":,()`'\"".contains(c)).collect();
    let named = sources.iter().filter(|s| words.contains(s.path.as_str()) && !is_left(left, &s.path, ""));
    let whole = |s: &Source| Left {
        source: s.path.clone(),
        function: String::new(),
        code: ERROR.into(),
        reason: complaint.into(),
    };
    named.map(whole).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_in_which_a_task_may_stay_are_left_out() {
        let text = "static int asks(void)\n{\n\treturn deep();\n}\n\nint deep(void)\n{\n\treturn 1;\n}\n\nint worker(void)\n{\n\treturn asks();\n}\n";
        let functions = edit::functions(text);
        let sources = [Source { path: "a/b.c".into(), object: "vmlinux".into(), text: text.into(), functions }];
        let warning = |code: &str| {
            [Warning { code: code.into(), symbol: "worker".into(), reason: "a task may stay in it".into() }]
        };
        let mut left = Vec::new();
        // First itself, then what it names, and no more.
        for expected in [&["worker"][..], &["asks"], &[]] {
            let new = blame_all(&sources, &left, &endless(&sources, &left, &warning("sleeps")));
            assert_eq!(new.iter().map(|l| l.function.as_str()).collect::<Vec<_>>(), expected);
            left.extend(new);
        }
        assert_eq!(endless(&sources, &left, &warning("never-returns")).len(), 1);
        assert!(endless(&sources, &[], &warning("new-callback")).is_empty());
    }
}
