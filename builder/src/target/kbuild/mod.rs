// SPDX-License-Identifier: GPL-2.0-or-later
//! Asks a target's kbuild: folders in, the objects that go into vmlinux and modules out; and asks how it compiles them.
//!
//! kbuild's own makefiles answer, with the target's configuration. A single target (`make a/b.o`) would not do:
//! kbuild builds a file that way although the configuration leaves it out.

pub mod command;
mod folders;
mod rules;

use crate::files;
use crate::sandbox::WORK;
use crate::target::Target;
use anyhow::{bail, Context, Result};
use command::Saved;
use folders::{check_reached, linked, read_answers, Told, TOP};
pub use folders::{plain, Objects};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

/// A translation unit that the fixes reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// Source, relative to the tree: `fs/proc/cmdline.c`.
    pub source: String,
    /// The object that kbuild makes of it: `fs/proc/cmdline.o`.
    pub object: String,
    /// The klp object it ends in: None for vmlinux, else the module's name with underscores.
    pub module: Option<String>,
}

/// `3 units`.
pub(crate) fn count(units: usize) -> String {
    format!("{units} unit{}", if units == 1 { "" } else { "s" })
}

/// Reads kbuild's saved command of `unit`.
pub fn saved(target: &Target, object: &str) -> Result<Saved> {
    let path = saved_file(target, object);
    let text = files::read_text(&path)?;
    let saved =
        Saved::read(&text).with_context(|| format!("kbuild's saved command {} cannot be used", path.display()))?;
    Ok(saved.with_flags(&target.cc_flags))
}

/// One command line can name this many folders.
const MOST_FOLDERS: usize = 256;

/// Whether kmend made the target's tree itself, and so may let kbuild write to it.
pub fn owns(target: &Target) -> bool {
    // A tree of the user's is seen where it is, so that its paths in saved commands are right.
    target.tree != Path::new(&target.tree_inside)
}

/// A path as the compiler names it, relative to the tree where it is in it.
pub fn in_tree(target: &Target, path: &str) -> String {
    match path.strip_prefix(target.tree_inside.as_str()) {
        Some(rest) => plain(rest),
        None if path.starts_with('/') => path.into(),
        None => plain(path),
    }
}

/// A name for what is kept about a target's tree: the same only for the same kernel at the same place.
pub fn tree_id(target: &Target) -> String {
    let mut text = [&target.name, &target.tree.display().to_string(), &target.release, &target.build_id]
        .map(String::as_str)
        .join("\0");
    // Its tree may hold something else than that of an earlier target of this name.
    text.extend(target.imported.iter().map(|sum| format!("\0{sum}")));
    files::sha256(text.as_bytes())[..24].to_string()
}

/// Asks kbuild which objects the makefiles in `dirs` (and in all folders above them) contribute. For a tree of
/// kmend's own, which does not change, the answers are kept.
pub fn ask(target: &Target, dirs: &BTreeSet<String>) -> Result<Objects> {
    let mut all = BTreeSet::from([".".to_string()]);
    for dir in dirs {
        let parts: Vec<&str> = dir.split('/').collect();
        all.extend((1..=parts.len()).map(|n| parts[..n].join("/")));
    }
    let mut told = kept_answers(target)?;
    let words = ask_new(target, &all, &mut told)?;
    let (objects, reached) = linked(&told);
    let silent = |d: &&String| has_makefile(target, d) && told.get(*d).is_none_or(|t| t.failed) && reached.contains(*d);
    if let Some(dir) = all.iter().find(silent) {
        bail!("kbuild of {} does not say what it builds in {dir}; is the tree complete?{words}", target.name);
    }
    Ok(objects)
}

/// All objects that go into vmlinux and modules, by plain path, sorted. Takes minutes the first time.
pub fn everything(target: &Target) -> Result<Vec<String>> {
    let mut told = kept_answers(target)?;
    let mut dirs = BTreeSet::from([".".to_string()]);
    loop {
        let words = ask_new(target, &dirs, &mut told)?;
        let (objects, reached) = linked(&told);
        let new: BTreeSet<String> =
            reached.into_iter().filter(|d| !told.contains_key(d) && has_makefile(target, d)).collect();
        if new.is_empty() {
            return Ok(objects.into_plain());
        }
        if new == dirs {
            bail!("kbuild of {} does not say what it builds; is the tree complete?{words}", target.name);
        }
        dirs = new;
    }
}

fn has_makefile(target: &Target, dir: &str) -> bool {
    ["Kbuild", "Makefile"].iter().any(|m| target.tree.join(dir).join(m).is_file())
}

fn kept_file(target: &Target) -> Result<PathBuf> {
    Ok(files::cache_dir()?.join("index").join(format!("kbuild-{}.json", tree_id(target))))
}

fn kept_answers(target: &Target) -> Result<BTreeMap<String, Told>> {
    Ok(match std::fs::read(kept_file(target)?) {
        Ok(bytes) if owns(target) => serde_json::from_slice(&bytes).unwrap_or_default(),
        _ => BTreeMap::new(),
    })
}

/// Asks about the top makefile and those of `dirs`, as far as they are not in `told` yet; returns make's words, indented.
fn ask_new(target: &Target, dirs: &BTreeSet<String>, told: &mut BTreeMap<String, Told>) -> Result<String> {
    let new: Vec<&str> =
        dirs.iter().map(String::as_str).filter(|d| !told.contains_key(*d) && has_makefile(target, d)).collect();
    let mut some: Vec<&[&str]> = new.chunks(MOST_FOLDERS).collect();
    if some.is_empty() && !told.contains_key(TOP) {
        // Answers are kept from before the top makefile was asked.
        some.push(&[]);
    }
    let mut words = String::new();
    for dirs in &some {
        let about = format!("KMEND_DIRS={}", dirs.join(" "));
        let said = make(target, &[], "kmend-ask", &about, "asking kbuild what it builds", None)?;
        read_answers(&String::from_utf8_lossy(&said.stdout), told);
        words.extend(String::from_utf8_lossy(&said.stderr).lines().map(|l| format!("\n    {l}")));
    }
    if !some.is_empty() {
        check_reached(&linked(told).1, |dir| has_makefile(target, dir))
            .with_context(|| format!("kbuild of {} cannot be asked what it builds{words}", target.name))?;
    }
    if owns(target) && !some.is_empty() {
        files::keep(&kept_file(target)?, &serde_json::to_vec(&told).context("cannot write down what kbuild builds")?);
    }
    Ok(words)
}

/// Where kbuild saves the command of `object`, on this machine; where it never compiled it, what it said that it
/// would save ([`ask_commands`]).
pub fn saved_file(target: &Target, object: &str) -> PathBuf {
    let (dir, name) = object.rsplit_once('/').unwrap_or((".", object));
    let saved = target.tree.join(dir).join(format!(".{name}.cmd"));
    if owns(target) && !saved.is_file() {
        let told = told_file(target, object).ok().filter(|f| f.is_file());
        return told.unwrap_or(saved);
    }
    saved
}

/// Where the command is kept that kbuild would use for `object`.
pub fn told_file(target: &Target, object: &str) -> Result<PathBuf> {
    let dir = files::cache_dir()?.join("commands").join(tree_id(target));
    Ok(dir.join(format!("{}.cmd", object.replace('/', "%2F"))))
}

/// Whether kbuild's command for `object` is known. What it only said is believed where it can be read.
pub fn is_known(target: &Target, object: &str) -> bool {
    let file = saved_file(target, object);
    match told_file(target, object) {
        Ok(told) if told == file => std::fs::read_to_string(file).is_ok_and(|text| Saved::read(&text).is_ok()),
        _ => file.is_file(),
    }
}

/// Asks kbuild for the commands of `objects` (its spelling) without compiling any of them: make does not run its
/// recipes (`-n`) but expands them, and so writes the commands down. They are kept outside of the tree. Returns the
/// objects that kbuild said nothing of.
pub fn ask_commands<'o>(target: &Target, objects: &[&'o str]) -> Result<Vec<&'o str>> {
    let mut missing = Vec::new();
    // A command line has a limit; this stays well below it.
    for some in objects.chunks(500) {
        let said = tempfile::tempdir().context("cannot make a folder for kbuild's commands")?;
        let about = format!("KMEND_OBJECTS={}", some.join(" "));
        let how = [&["-n"], &rules::ALL[..]].concat();
        make(target, &how, "kmend-make", &about, "asking kbuild for its commands", Some(said.path()))?;
        for object in some {
            match std::fs::read_to_string(said.path().join(object.replace('/', "%2F"))) {
                Ok(command) if Saved::read(&command).is_ok() => {
                    files::write_quickly(&told_file(target, &plain(object))?, command.as_bytes())?;
                }
                _ => missing.push(*object),
            }
        }
    }
    Ok(missing)
}

/// Lets kbuild compile `objects` (its spelling) in the target's tree, once and for all.
pub fn make_objects(target: &Target, objects: &[&str]) -> Result<()> {
    let what = format!("kbuild of {} compiling {}", target.name, objects.join(" "));
    // Before too: it may be broken off.
    stamp(target)?;
    let made = make(target, &[], "kmend-make", &format!("KMEND_OBJECTS={}", objects.join(" ")), &what, None);
    stamp(target)?;
    made.map(|_| ())
}

fn stamp(target: &Target) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    files::write_quickly(&made_file(target)?, now.as_nanos().to_string().as_bytes())
}

fn made_file(target: &Target) -> Result<PathBuf> {
    Ok(files::cache_dir()?.join("index").join(format!("made-{}", tree_id(target))))
}

/// When kbuild last made objects in the target's tree, which may have brought generated sources; empty where it never did.
pub fn last_made(target: &Target) -> Result<String> {
    Ok(std::fs::read_to_string(made_file(target)?).unwrap_or_default())
}

/// Takes the lock of the target's tree, in which kbuild works only with that.
pub fn lock(target: &Target) -> Result<files::Lock> {
    let id = files::sha256(target.tree.as_os_str().as_encoded_bytes());
    let lock = files::cache_dir()?.join("locks").join(format!("kbuild-{}", &id[..16]));
    files::lock(&lock, "works in this tree, or lets kbuild work there")
}

fn make(target: &Target, more: &[&str], goal: &str, about: &str, what: &str, told: Option<&Path>) -> Result<Output> {
    let (mut sandbox, _lock);
    if owns(target) {
        _lock = Some(lock(target)?);
        sandbox = target.sandbox_writable();
    } else {
        (sandbox, _lock) = (target.sandbox(), None);
    }
    let release = format!("KERNELRELEASE={}", target.release);
    let mut eval = format!("--eval={}", rules::RULES);
    if let Some(told) = told {
        sandbox = sandbox.writable(told, WORK);
        eval = format!("{eval}\n{}", rules::write_down());
    }
    let jobs = format!("-j{}", crate::parallel::processors());
    let mut args = vec!["-s", jobs.as_str(), eval.as_str()];
    args.extend(target.make_vars.iter().map(String::as_str).filter(|v| !v.starts_with("KERNELRELEASE=")));
    args.extend(more);
    args.extend([release.as_str(), about, goal]);
    sandbox
        .run("make", &args)
        .with_context(|| what.to_string())
        .with_context(|| format!("the tree of {} ({}) cannot be used", target.name, target.tree.display()))
}
