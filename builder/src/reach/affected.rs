// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage affected: touched files in, the translation units that they reach and the target's config builds out.
//!
//! A touched C file is a unit, or part of those that include it; a touched header is part of many. The preprocessor
//! decides which of these change (`reach/narrow.rs`). A changed file that a live patch cannot contain is refused by
//! name; a file that does not belong to this kernel is left out with a note.

use super::find::find;
use super::headers::Seers;
use super::includes::{index, last, may_be, scan, Index};
use super::kind::{self, not_kernel_folder, Kind};
use super::limit::Limit;
use crate::error::{NothingChanged, Refusal, Refused};
use crate::progress;
use crate::source::PatchedTree;
use crate::target::kbuild::{self, Unit};
use crate::target::Target;
use anyhow::{bail, Result};
use std::collections::BTreeMap;

/// What a fix reaches.
#[derive(Clone, Debug, Default)]
pub struct Affected {
    /// The units to compile, sorted.
    pub units: Vec<Unit>,
    /// Units that include what is changed; whether their code changes is not known yet.
    pub doubtful: Vec<Unit>,
    /// Who sees what the fix changes in headers that `doubtful` include, for those of which it is known.
    pub seers: BTreeMap<String, Seers>,
    /// What was left out and why, for a person and the manifest.
    pub notes: Vec<String>,
    /// What cannot be carried of what the fix changes beside its units.
    pub refusals: Vec<Refusal>,
}

/// Finds the units that `tree` reaches, as far as `limit` allows. Touched files that this kernel does not contain are put
/// into `absent` with the reason, also where it ends with an error.
pub fn units(
    target: &Target,
    tree: &PatchedTree,
    limit: Limit,
    absent: &mut BTreeMap<String, String>,
) -> Result<Affected> {
    let mut refusals = Vec::new();
    let mut notes = Vec::new();
    let mut sources = Vec::new();
    let index = index(target)?;
    for (path, file) in &tree.files {
        if file.original == file.patched {
            notes.push(format!("{path}: together, the fixes do not change it"));
            continue;
        }
        match made_of_text(&index, path) {
            Some(Ok(note)) => notes.push(note),
            Some(Err(refusal)) => {
                refusals.push(refusal);
                continue;
            }
            None => {}
        }
        match kind_in(target, &index, path) {
            Kind::Source if file.original.is_none() && !included(tree, path) => refusals.push(new_file(path)),
            Kind::Assembler if file.original.is_none() => refusals.push(new_file(path)),
            Kind::Source | Kind::Header | Kind::Assembler => sources.push(path.as_str()),
            Kind::Ignored(why) => {
                notes.push(format!("{path}: {why}; left out"));
                absent.insert(path.clone(), why);
            }
            Kind::Refused(code, reason, hint) => refusals.push(Refusal::new(code, "", path, reason, hint)),
        }
    }
    if !refusals.is_empty() {
        return Err(Refused(refusals).into());
    }
    if sources.is_empty() {
        let why = notes.iter().map(|n| format!("\n  {n}")).collect::<String>();
        if tree.files.values().all(|f| f.original == f.patched) {
            return Err(NothingChanged(format!("the fixes change nothing:{why}")).into());
        }
        let hint = "pass a fix to C code that this kernel runs";
        let reason = format!("it does not change any code of this kernel:{why}");
        return Err(Refused(vec![Refusal::new("not-built", "", &tree.titles(), reason, hint)]).into());
    }
    let step = progress::step("finding the units that the fix reaches");
    let mut found = find(target, index, &sources, Some((limit, tree)))?;
    for unit in found.units.iter().filter(|u| tree.files.get(&u.source).is_some_and(|f| f.patched.is_none())) {
        found.refusals.push(deleted_file(&unit.source));
    }
    for (source, why) in &found.unbuilt {
        notes.push(format!("{source}: {why}; left out"));
    }
    absent.extend(found.unbuilt.clone());
    notes.append(&mut found.notes);
    notes.extend(found.unseen.values().cloned());
    let nothing = found.units.is_empty() && found.doubtful.is_empty() && found.refusals.is_empty();
    if nothing && !found.unseen.is_empty() {
        return Err(NothingChanged::in_any_unit(&notes).into());
    }
    if nothing {
        let refusals = found.unbuilt.iter().map(|(source, why)| not_built(target, source, why));
        return Err(Refused(refusals.collect()).into());
    }
    if !found.refusals.is_empty() {
        return Err(Refused(found.refusals).into());
    }
    let units: Vec<Unit> = found.units.into_iter().collect();
    let mut names: Vec<String> = units.iter().map(|u| u.source.clone()).collect();
    names.dedup();
    if !found.doubtful.is_empty() {
        let s = if found.doubtful.len() == 1 { "s" } else { "" };
        names.push(format!("{} that include{s} what it changes", kbuild::count(found.doubtful.len())));
    }
    step.done(&names.join(", "));
    let doubtful = found.doubtful.into_iter().collect();
    Ok(Affected { units, doubtful, seers: found.seers, notes, refusals: Vec::new() })
}

/// What the file at `path` is to `target`.
fn kind_in(target: &Target, index: &Index, path: &str) -> Kind {
    if index.is_program(path) {
        kind::build()
    } else if index.takes_from_outside(path) {
        kind::of_code(path)
    } else {
        kind::kind(path, &target.arch)
    }
}

/// What kbuild makes of a text for people to read: a live patch does without.
const NAMES: &[&str] =
    &["capflags.c", "cpufeaturemasks.h", "devlist.h", "mapdata.h", "capability_names.h", "rlim_names.h", "net_names.h"];

/// Where kbuild makes code of the text of the file at `path`: a note where that may stay as it is, else a refusal.
fn made_of_text(index: &Index, path: &str) -> Option<Result<String, Refusal>> {
    let made: Vec<&str> = index.made_of(path).collect();
    let all = made.join(", ");
    let is_name = |made: &&str| NAMES.contains(&last(made));
    if made.is_empty() {
        return None;
    }
    if made.iter().all(is_name) {
        return Some(Ok(format!("{path}: kbuild generates {all} from it, which is not changed")));
    }
    let reason = format!(
        "kbuild generates {all} from the text of this file, comments included, and the running kernel contains that"
    );
    let hint =
        "leave this file out if the rest of the fix works without it; otherwise change the code that uses what is generated";
    Some(Err(Refusal::new("generated-header", "", path, reason, hint)))
}

/// Whether a file that the fixes touch includes `path`, by its name.
fn included(tree: &PatchedTree, path: &str) -> bool {
    let scanner = scan::Scanner::default();
    let texts = tree.files.values().filter_map(|f| f.patched.as_deref());
    texts.flat_map(|text| scanner.scan(text).names).any(|(_, name)| may_be(&name, path))
}

/// The units that `sources` reach, whatever may be changed in them.
///
/// # Errors
/// A file that is no C code of this kernel.
pub fn reached_by(target: &Target, sources: &[&str]) -> Result<Vec<Unit>> {
    let mut reasons = Vec::new();
    let index = index(target)?;
    for source in sources {
        match kind_in(target, &index, source) {
            Kind::Source if target.tree.join(source).is_file() => {}
            Kind::Source => reasons.push(format!("{source}: the tree of {} has no such file", target.name)),
            Kind::Header => reasons.push(format!("{source}: a header; name the .c files that include it")),
            Kind::Assembler => reasons.push(format!("{source}: assembler code")),
            Kind::Ignored(why) | Kind::Refused(_, why, _) => reasons.push(format!("{source}: {why}")),
        }
    }
    if reasons.is_empty() {
        let step = progress::step("finding the units");
        let mut found = find(target, index, sources, None)?;
        found.units.append(&mut found.doubtful);
        found.units.retain(|u| !u.source.ends_with(".S"));
        reasons.extend(found.refusals.iter().map(|r| format!("{}: {}", r.section, r.reason)));
        reasons.extend(found.unbuilt.iter().map(|(source, why)| format!("{source}: {why}")));
        if reasons.is_empty() {
            step.done(&found.units.len().to_string());
            return Ok(found.units.into_iter().collect());
        }
    }
    bail!("not all of these files are C code of {} ({}):\n  {}", target.name, target.release, reasons.join("\n  "))
}

/// The units that one file reaches; none where it reaches none that could be compiled.
///
/// # Errors
/// kbuild does not say what it builds.
pub fn reached_by_one(target: &Target, source: &str) -> Result<Vec<Unit>> {
    Ok(find(target, index(target)?, &[source], None)?.units.into_iter().collect())
}

/// A source that becomes no unit, and why.
pub type LeftOut = (String, String);

/// Those of `sources` that become units of the kernel or a module, and why each of the others does not.
///
/// # Errors
/// kbuild does not say what it builds.
pub fn units_of(target: &Target, sources: &[&str]) -> Result<(Vec<Unit>, Vec<LeftOut>)> {
    let found = find(target, index(target)?, sources, None)?;
    let units: Vec<Unit> = found.units.into_iter().filter(|u| sources.contains(&u.source.as_str())).collect();
    let why = |source: &str| {
        let refused = found.refusals.iter().find(|r| r.section == source).map(|r| r.reason.clone());
        refused
            .or_else(|| found.unbuilt.get(source).cloned())
            .unwrap_or_else(|| "it is not compiled as a unit of its own".into())
    };
    let is_unit = |source: &&&str| units.iter().any(|u| u.source == **source);
    let others = sources.iter().filter(|s| !is_unit(s)).map(|s| (s.to_string(), why(s))).collect();
    Ok((units, others))
}

/// The C files of all objects that the config builds into vmlinux and modules, sorted.
///
/// # Errors
/// kbuild does not say what it builds.
pub fn everything(target: &Target) -> Result<Vec<String>> {
    let sources = kbuild::everything(target)?.into_iter().filter_map(|o| Some(format!("{}.c", o.strip_suffix(".o")?)));
    Ok(sources.filter(|s| not_kernel_folder(s).is_none() && target.tree.join(s).is_file()).collect())
}

fn not_built(target: &Target, source: &str, why: &str) -> Refusal {
    let reason = format!("{} does not contain this file: {why}", target.release);
    let hint = "this kernel does not run that code, so it needs no live patch for it";
    Refusal::new("not-built", "", source, reason, hint)
}

fn new_file(path: &str) -> Refusal {
    let reason = "the fix adds this file, and no makefile of the target builds it".to_string();
    Refusal::new("new-file", "", path, reason, "put the new code into an existing file")
}

fn deleted_file(path: &str) -> Refusal {
    let reason = "the fix deletes this file, whose code is part of the running kernel".to_string();
    let hint = "a live patch cannot remove code: keep the file, and change the code that must no longer be called";
    Refusal::new("deleted-file", "", path, reason, hint)
}
