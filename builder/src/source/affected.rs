// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage affected: touched files in, the translation units that they reach and the target's config builds out.
//!
//! A touched C file is a unit, or part of those that include it; a touched header is part of many. Which of these change
//! is the preprocessor's to say (`compile/narrow.rs`). What a fix changes and a live patch cannot carry is refused by
//! name; what does not belong to this kernel is left out with a note.

use super::includes::outside::is_outside;
use super::includes::{arch_folder, index, scan, Includers, Index};
use super::kind::{kind, not_kernel_folder, of_code, Kind};
use super::reach::{self, Seen};
use super::unbuilt::why_unbuilt;
use super::{PatchedTree, TouchedFile};
use crate::compile::kbuild::{self, Objects};
use crate::compile::narrow::Limit;
use crate::compile::{self, generated, Unit};
use crate::error::{NothingChanged, Refusal, Refused};
use crate::progress;
use crate::target::Target;
use anyhow::{bail, Result};
use std::collections::{BTreeMap, BTreeSet};

/// What a fix reaches.
#[derive(Clone, Debug, Default)]
pub struct Affected {
    /// The units to compile, sorted.
    pub units: Vec<Unit>,
    /// Units that include what is changed; whether their code changes is not known yet.
    pub doubtful: Vec<Unit>,
    /// What was left out and why, for a person and the manifest.
    pub notes: Vec<String>,
    /// What cannot be carried of what the fix changes beside its units.
    pub refusals: Vec<Refusal>,
}

/// Finds the units that `tree` reaches, as far as `limit` allows.
pub fn units(target: &Target, tree: &PatchedTree, limit: Limit) -> Result<Affected> {
    let mut refusals = Vec::new();
    let mut notes = Vec::new();
    let mut sources = Vec::new();
    for (path, file) in &tree.files {
        if file.original == file.patched {
            notes.push(format!("{path}: the fixes together leave it as it was"));
            continue;
        }
        match kind_in(target, path)? {
            Kind::Source if file.original.is_none() && !included(tree, path) => refusals.push(new_file(path)),
            Kind::Assembler if file.original.is_none() => refusals.push(new_file(path)),
            Kind::Source | Kind::Header | Kind::Assembler => sources.push(path.as_str()),
            Kind::Ignored(why) => notes.push(format!("{path}: {why}; left out")),
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
        let hint = "hand over a fix to C code that this kernel runs";
        let reason = format!("it changes no code of this kernel:{why}");
        return Err(Refused(vec![Refusal::new("not-built", "", &tree.titles(), reason, hint)]).into());
    }
    let step = progress::step("finding the units that the fix reaches");
    let mut found = find(target, &sources, Some((limit, tree)))?;
    for unit in found.units.iter().filter(|u| tree.files.get(&u.source).is_some_and(|f| f.patched.is_none())) {
        found.refusals.push(deleted_file(&unit.source));
    }
    for (source, why) in &found.unbuilt {
        notes.push(format!("{source}: {why}; left out"));
    }
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
    if !found.doubtful.is_empty() {
        let s = if found.doubtful.len() == 1 { "s" } else { "" };
        names.push(format!("{} that include{s} what it changes", compile::count(found.doubtful.len())));
    }
    step.done(&names.join(", "));
    Ok(Affected { units, doubtful: found.doubtful.into_iter().collect(), notes, refusals: Vec::new() })
}

/// What the file at `path` is to `target`.
fn kind_in(target: &Target, path: &str) -> Result<Kind> {
    let taken = is_outside(path) && index(target)?.takes_from_outside(path);
    Ok(if taken { of_code(path) } else { kind(path, &target.arch) })
}

/// Whether a file that the fixes touch includes `path`, by its name.
fn included(tree: &PatchedTree, path: &str) -> bool {
    let scanner = scan::Scanner::default();
    let texts = tree.files.values().filter_map(|f| f.patched.as_deref());
    texts.flat_map(|text| scanner.scan(text).names).any(|(_, name)| super::includes::may_be(&name, path))
}

/// The units that `sources` reach, whatever may be changed in them.
///
/// # Errors
/// A file that is no C code of this kernel.
pub fn reached_by(target: &Target, sources: &[&str]) -> Result<Vec<Unit>> {
    let mut reasons = Vec::new();
    for source in sources {
        match kind_in(target, source)? {
            Kind::Source if target.tree.join(source).is_file() => {}
            Kind::Source => reasons.push(format!("{source}: the tree of {} has no such file", target.name)),
            Kind::Header => reasons.push(format!("{source}: a header; name the .c files that include it")),
            Kind::Assembler => reasons.push(format!("{source}: assembler code")),
            Kind::Ignored(why) | Kind::Refused(_, why, _) => reasons.push(format!("{source}: {why}")),
        }
    }
    if reasons.is_empty() {
        let step = progress::step("finding the units");
        let mut found = find(target, sources, None)?;
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
    Ok(find(target, &[source], None)?.units.into_iter().collect())
}

/// A source that becomes no unit, and why.
pub type LeftOut = (String, String);

/// Those of `sources` that become units of the kernel or a module, and why each of the others does not.
///
/// # Errors
/// kbuild does not say what it builds.
pub fn units_of(target: &Target, sources: &[&str]) -> Result<(Vec<Unit>, Vec<LeftOut>)> {
    let found = find(target, sources, None)?;
    let units: Vec<Unit> = found.units.into_iter().filter(|u| sources.contains(&u.source.as_str())).collect();
    let why = |source: &str| {
        let refused = found.refusals.iter().find(|r| r.section == source).map(|r| r.reason.clone());
        refused.or_else(|| found.unbuilt.get(source).cloned()).unwrap_or_else(|| "it becomes no unit of its own".into())
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
    Refusal::new("new-file", "", path, reason, "put the new code into a file that is there already")
}

fn deleted_file(path: &str) -> Refusal {
    let reason = "the fix deletes this file, whose code is part of the running kernel".to_string();
    let hint = "a live patch takes no code away: leave the file in place, and change what must no longer be called";
    Refusal::new("deleted-file", "", path, reason, hint)
}

fn assembler_file(path: &str) -> Refusal {
    let reason = "code written in assembler has no functions that can be replaced one by one".to_string();
    Refusal::new("assembler-file", "", path, reason, "write the fix for a C function that calls it")
}

#[derive(Default)]
struct Found {
    /// Units that are touched themselves.
    units: BTreeSet<Unit>,
    /// Units that include what is touched.
    doubtful: BTreeSet<Unit>,
    /// Sources that reach no unit, and why.
    unbuilt: BTreeMap<String, String>,
    refusals: Vec<Refusal>,
    /// Headers of which some that include them see nothing new, and what a person should know of that.
    unseen: BTreeMap<String, String>,
    /// Headers of which all that include them may see what is changed, or very many, and why.
    by_many: BTreeMap<String, String>,
    notes: Vec<String>,
}

impl Found {
    /// Why so many units count, as the end of a sentence.
    fn why_many(&self) -> String {
        self.by_many.iter().map(|(path, why)| format!("; they may see what changes in {path}: {why}")).collect()
    }
}

/// Finds the units of `sources`. With a limit, units that only include one get by with the command that kbuild would use;
/// without, kbuild compiles all that it never did.
fn find(target: &Target, sources: &[&str], fixes: Option<(Limit, &PatchedTree)>) -> Result<Found> {
    let index = index(target)?;
    let includers = index.includers();
    // Each touched file with all that includes it, however deep.
    let mut reach: BTreeMap<&str, Vec<String>> = sources.iter().map(|s| (*s, includers.closure(s))).collect();
    let mut found = Found::default();
    let limit = fixes.map(|(limit, _)| limit);
    if let Some(fixes) = fixes {
        leave_out_unseen(target, fixes, &index, &includers, &mut reach, &mut found)?;
    }
    let mut wanted: BTreeSet<&str> = reach.values().flatten().map(String::as_str).filter(|p| is_unit(p)).collect();
    wanted.retain(|p| not_kernel_folder(p).is_none());
    // A file that only others include is no unit of its own.
    let wanted: BTreeMap<&str, String> = wanted.into_iter().filter_map(|s| Some((s, index.object(s)?))).collect();
    if let Some(limit) = limit {
        limit.check_files(sources, &found.why_many(), wanted.len())?;
    }
    let objects = objects_of(target, &wanted.values().map(String::as_str).collect())?;
    let mut built: Vec<(&str, &str, &str)> =
        wanted.iter().filter_map(|(s, object)| Some((*s, object.as_str(), objects.spelling(object)?))).collect();
    if let Some(limit) = limit {
        limit.check_units(sources, &found.why_many(), built.len())?;
    }
    // A file of which kbuild makes a header goes into no object.
    let assemblies = wanted.keys().filter_map(|s| Some((*s, generated::assembly(s)?)));
    let assemblies: Vec<(&str, String)> =
        assemblies.filter(|(_, assembly)| fixes.is_some() && kbuild::is_known(target, assembly)).collect();
    built.extend(assemblies.iter().map(|(source, assembly)| (*source, assembly.as_str(), assembly.as_str())));
    let touched: BTreeSet<&str> = sources.iter().copied().collect();
    let (mut make, mut ask) = (Vec::new(), Vec::new());
    for (source, _, spelled) in built.iter().filter(|(_, object, _)| !kbuild::is_known(target, object)) {
        if touched.contains(source) || limit.is_none() { &mut make } else { &mut ask }.push(*spelled);
    }
    if !(make.is_empty() && ask.is_empty()) {
        if !kbuild::owns(target) {
            let some = make.iter().chain(&ask).take(20).copied().collect::<Vec<_>>().join(" ");
            bail!(
                "the tree of {} has no saved commands (.cmd files) for {some}: build that kernel completely, then run kmend again",
                target.name,
            );
        }
        if !ask.is_empty() {
            make.extend(kbuild::ask_commands(target, &ask)?);
        }
        if !make.is_empty() {
            kbuild::make_objects(target, &make)?;
        }
    }
    let mut outside: BTreeMap<&str, String> = BTreeMap::new();
    let mut made: BTreeMap<&str, Vec<Unit>> = BTreeMap::new();
    for (source, object, spelled) in &built {
        let saved = compile::saved(target, object)?;
        let from = kbuild::plain(&saved.source);
        if from != *source && index.object(&from).as_deref() == Some(*object) {
            // x.S beside x.c: the object is made of the other one.
            continue;
        }
        if from != *source || saved.object != *spelled {
            bail!(
                "kbuild's saved command for {spelled} in the tree of {} is one for {} out of {}: build that object anew",
                target.name,
                saved.object,
                saved.source
            );
        }
        if let Some(why) = saved.not_kernel() {
            outside.insert(source, why.into());
            continue;
        }
        if let Some(flag) = saved.unusable_flag() {
            let reason = format!("it is compiled with {flag}; objects of link-time optimisation cannot be compared");
            found.refusals.push(Refusal::new("lto", "", source, reason, "use a kernel that is built without it"));
            continue;
        }
        if touched.contains(source) && source.ends_with(".S") {
            found.refusals.push(assembler_file(source));
            continue;
        }
        let unit = |module| Unit { source: (*source).into(), object: (*object).into(), module };
        let units: Vec<Unit> = saved.linked_into().into_iter().map(unit).collect();
        if units.is_empty() {
            bail!("kbuild's saved command for {spelled} in the tree of {} names no module", target.name);
        }
        made.insert(source, units);
    }
    let refused: BTreeSet<String> = found.refusals.iter().map(|r| r.section.clone()).collect();
    for (source, paths) in &reach {
        let mut any = false;
        for unit in paths.iter().filter_map(|p| made.get(p.as_str())).flatten() {
            any = true;
            let sure = touched.contains(unit.source.as_str()) && !generated::makes_header(unit);
            if sure { &mut found.units } else { &mut found.doubtful }.insert(unit.clone());
        }
        let other: BTreeSet<String> = paths
            .iter()
            .filter(|p| is_unit(p))
            .filter_map(|p| not_kernel_folder(p).map(String::from).or(outside.get(p.as_str()).cloned()))
            .collect();
        match (any, other.first()) {
            (true, None) => {}
            (false, None) if found.unseen.contains_key(*source) => {}
            (true, Some(_)) => {
                let kinds = other.into_iter().collect::<Vec<_>>().join("; ");
                found.notes.push(format!("{source} is also part of {kinds}: a live patch does not reach that"));
            }
            (false, Some(why)) => {
                let hint = "a live patch reaches functions of the running kernel and its modules alone";
                let what = if is_unit(source) { "this is" } else { "it reaches nothing but" };
                found.refusals.push(Refusal::new("not-kernel-code", "", source, format!("{what} {why}"), hint));
            }
            (false, None) if refused.contains(*source) => {}
            (false, None) => _ = found.unbuilt.insert((*source).into(), why_unbuilt(target, source)),
        }
        if paths.iter().any(|p| p.starts_with("rust/bindings/") || p.starts_with("rust/uapi/"))
            && target.rustc.is_some()
        {
            found
                .notes
                .push(format!("{source}: the kernel's Rust code knows it by its bindings, which stay as they are"));
        }
    }
    found.doubtful.retain(|u| !found.units.contains(u));
    Ok(found)
}

/// Fewer files than that are preprocessed sooner than the tree is searched.
const WORTH_A_SEARCH: usize = 30;

/// Takes out of `reach` the files that include a touched header and see nothing of what is changed in it.
fn leave_out_unseen(
    target: &Target,
    (limit, tree): (Limit, &PatchedTree),
    index: &Index,
    includers: &Includers<'_>,
    reach: &mut BTreeMap<&str, Vec<String>>,
    found: &mut Found,
) -> Result<()> {
    let wide = |files: &[String]| files.iter().filter(|p| is_unit(p)).count() > WORTH_A_SEARCH;
    let wide = reach.iter().filter(|(path, files)| path.ends_with(".h") && wide(files));
    let headers: Vec<(&str, &TouchedFile)> =
        wide.filter_map(|(path, _)| Some((*path, tree.files.get(*path)?))).collect();
    if headers.is_empty() {
        return Ok(());
    }
    let step = progress::step("finding out who sees what it adds to headers");
    let seen = reach::seen(&target.tree, &target.arch, index, includers, &headers)?;
    let mut said = Vec::new();
    for (path, seen) in seen {
        let Some(files) = reach.get_mut(path.as_str()) else { continue };
        match seen {
            Seen::ByAll(why) => {
                said.push(format!("{path}: all that include it ({why})"));
                found.by_many.insert(path, why);
            }
            Seen::By(kept, macros) => {
                let units = |files: &[String]| files.iter().filter(|p| is_unit(p)).count();
                let before = units(files);
                files.retain(|p| *p == path || !is_unit(p) || kept.contains(p));
                let left = before - units(files);
                if limit.may_be_too_many(before - left) {
                    let widest = macros.into_iter().max_by_key(|(file, _)| includers.closure(file).len());
                    let why = widest.map(|(file, name)| format!("a macro of {file} may put the name {name} together"));
                    found.by_many.extend(why.map(|why| (path.clone(), why)));
                }
                said.push(format!("{path}: {} of {before} files", before - left));
                let note = format!("{path}: {left} of {before} files that include it see nothing of what is changed");
                found.unseen.insert(path, note);
            }
        }
    }
    step.done(&said.join(", "));
    Ok(())
}

fn is_unit(path: &str) -> bool {
    path.ends_with(".c") || path.ends_with(".S")
}

/// Asks kbuild about the folders of the objects `wanted`; when one is not named there, also the folders whose makefiles
/// reach into others (`../misc/x.o`).
fn objects_of(target: &Target, wanted: &BTreeSet<&str>) -> Result<Objects> {
    let folder = |s: &str| s.rsplit_once('/').map_or(".", |(d, _)| d).to_string();
    let mut dirs: BTreeSet<String> = wanted.iter().map(|s| folder(s)).collect();
    let objects = kbuild::ask(target, &dirs)?;
    if wanted.iter().all(|s| objects.spelling(s).is_some()) {
        return Ok(objects);
    }
    let mut tops: BTreeSet<&str> = wanted.iter().filter_map(|s| s.split_once('/')).map(|(top, _)| top).collect();
    let arch = format!("arch/{}", arch_folder(&target.arch));
    if tops.remove("arch") {
        tops.insert(&arch);
    }
    let before = dirs.len();
    for top in tops {
        reaching_out(target, top, &mut dirs);
    }
    if dirs.len() == before {
        return Ok(objects);
    }
    kbuild::ask(target, &dirs)
}

/// Folders below `dir` whose makefile names objects in other folders.
fn reaching_out(target: &Target, dir: &str, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(target.tree.join(dir)) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            if not_kernel_folder(&format!("{dir}/{name}/")).is_none() {
                reaching_out(target, &format!("{dir}/{name}"), found);
            }
        } else if name == "Makefile" || name == "Kbuild" {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let reaches = |l: &str| {
                l.contains("../") && !l.contains("flags") && !l.contains("FLAGS") && !l.trim_start().starts_with('#')
            };
            if text.lines().any(reaches) {
                found.insert(dir.into());
            }
        }
    }
}
