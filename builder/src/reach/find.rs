// SPDX-License-Identifier: GPL-2.0-or-later
//! Which units some touched files reach: the files in; the units that the target's config builds from them and from
//! files that include them, and how the other files are handled, out.

use super::generated;
use super::headers::{seen, Seen, Seers};
use super::includes::{arch_folder, Includers, Index};
use super::kind::not_kernel_folder;
use super::limit::Limit;
use super::unbuilt::why_unbuilt;
use crate::error::Refusal;
use crate::progress;
use crate::source::{PatchedTree, TouchedFile};
use crate::target::kbuild::{self, Objects, Unit};
use crate::target::modules;
use crate::target::Target;
use anyhow::{bail, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What some files reach.
#[derive(Default)]
pub(super) struct Found {
    /// Units that are touched themselves.
    pub(super) units: BTreeSet<Unit>,
    /// Units that include what is touched.
    pub(super) doubtful: BTreeSet<Unit>,
    /// Sources that reach no unit, and why.
    pub(super) unbuilt: BTreeMap<String, String>,
    pub(super) refusals: Vec<Refusal>,
    /// Headers of which some that include them see nothing new, and what a person should know of that.
    pub(super) unseen: BTreeMap<String, String>,
    /// Headers of which all that include them may see what is changed, or very many, and why.
    by_many: BTreeMap<String, String>,
    /// Who sees what is changed in headers, for those of which it is known.
    pub(super) seers: BTreeMap<String, Seers>,
    pub(super) notes: Vec<String>,
}

impl Found {
    /// Why so many units count, as the end of a sentence.
    fn why_many(&self) -> String {
        self.by_many.iter().map(|(path, why)| format!("; they may see what changes in {path}: {why}")).collect()
    }
}

/// Finds the units of `sources`. With a limit, units that only include one get by with the command that kbuild would use;
/// without, kbuild compiles all that it never did.
pub(super) fn find(
    target: &Target,
    index: Index,
    sources: &[&str],
    fixes: Option<(Limit, &PatchedTree)>,
) -> Result<Found> {
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
    // Where the code of a unit says whether it sees what is changed, a unit is looked at once for all fixes: these do not count.
    let named = |path: &str| found.seers.get(path).is_some_and(|s| !s.names.is_empty());
    let counted: BTreeSet<&str> =
        reach.iter().filter(|(path, _)| !named(path)).flat_map(|(_, files)| files).map(String::as_str).collect();
    if let Some(limit) = limit {
        limit.check_files(sources, &found.why_many(), wanted.iter().filter(|p| counted.contains(*p)).count())?;
    }
    // A file that only others include has no object.
    let mut wanted: Vec<(&str, String)> =
        wanted.into_iter().flat_map(|s| index.objects(s).into_iter().map(move |object| (s, object))).collect();
    wanted.retain(|(_, object)| not_kernel_folder(object).is_none());
    let objects = objects_of(target, &wanted.iter().map(|(_, object)| object.as_str()).collect())?;
    if fixes.is_some() && sources.iter().any(|s| s.ends_with(".h")) && make_sources(target, &index, &objects)? {
        return find(target, super::includes::index(target)?, sources, fixes);
    }
    let mut built: Vec<(&str, &str, &str)> =
        wanted.iter().filter_map(|(s, object)| Some((*s, object.as_str(), objects.spelling(object)?))).collect();
    if let Some(limit) = limit {
        let counted = built.iter().filter(|(source, _, _)| counted.contains(source)).count();
        limit.check_units(sources, &found.why_many(), counted)?;
    }
    // A file of which kbuild makes a header goes into no object.
    let in_folder_of = |path: &str| objects.all().any(|o| folder(&kbuild::plain(o)) == folder(path));
    let has = |path: &str| kbuild::is_known(target, path) || kbuild::owns(target) && in_folder_of(path);
    let values = wanted.iter().filter(|_| fixes.is_some()).filter_map(|(s, _)| Some((*s, index.values(s)?)));
    let values: Vec<(&str, String)> = values.filter(|(_, v)| has(v)).collect();
    built.extend(values.iter().map(|(source, values)| (*source, values.as_str(), values.as_str())));
    let touched: BTreeSet<&str> = sources.iter().copied().collect();
    let (mut make, mut ask) = (Vec::new(), Vec::new());
    for (source, _, spelled) in built.iter().filter(|(_, object, _)| !kbuild::is_known(target, object)) {
        if touched.contains(source) || limit.is_none() { &mut make } else { &mut ask }.push(*spelled);
    }
    if !(make.is_empty() && ask.is_empty()) {
        if !kbuild::owns(target) {
            let some = make.iter().chain(&ask).take(20).copied().collect::<Vec<_>>().join(" ");
            bail!(
                "the tree of {} has no saved commands (.cmd files) for {some}: build that kernel completely, then run kmend-build again",
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
    let mut not_kernel: BTreeMap<&str, String> = BTreeMap::new();
    let mut made: BTreeMap<&str, Vec<Unit>> = BTreeMap::new();
    for (source, object, spelled) in &built {
        let saved = kbuild::saved(target, object)?;
        let from = kbuild::plain(&saved.source);
        if from != *source && index.objects(&from).iter().any(|o| o == object) {
            // x.S beside x.c: the object is made of the other one.
            continue;
        }
        if from != *source || saved.object != *spelled {
            bail!(
                "kbuild's saved command for {spelled} in the tree of {} is for {} from {}: build that object again",
                target.name,
                saved.object,
                saved.source
            );
        }
        if let Some(why) = saved.not_kernel() {
            not_kernel.insert(source, why.into());
            continue;
        }
        if let Some(flag) = saved.unusable_flag() {
            let reason =
                format!("it is compiled with {flag}; objects compiled for link-time optimisation cannot be compared");
            found.refusals.push(Refusal::new("lto", "", source, reason, "use a kernel built without it"));
            continue;
        }
        if touched.contains(source) && source.ends_with(".S") {
            found.refusals.push(assembler_file(source));
            continue;
        }
        let unit = |module| Unit { source: (*source).into(), object: (*object).into(), module };
        let mut modules = saved.linked_into();
        if index.compiles(object) && modules.iter().any(Option::is_some) {
            modules = modules_of(target, object, modules)?;
        }
        let units: Vec<Unit> = modules.into_iter().map(unit).collect();
        if units.is_empty() {
            bail!("kbuild's saved command for {spelled} in the tree of {} names no module", target.name);
        }
        made.entry(source).or_default().extend(units);
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
            .filter_map(|p| not_kernel_folder(p).map(String::from).or(not_kernel.get(p.as_str()).cloned()))
            .collect();
        match (any, other.first()) {
            (true, None) => {}
            (false, None) if found.unseen.contains_key(*source) => {}
            (true, Some(_)) => {
                let kinds = other.into_iter().collect::<Vec<_>>().join("; ");
                found.notes.push(format!("{source} is also part of {kinds}, which a live patch cannot change"));
            }
            (false, Some(why)) => {
                let hint = "a live patch can only change functions of the running kernel and its modules";
                let what = if is_unit(source) { "this is" } else { "it is only part of" };
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
                .push(format!("{source}: the kernel's Rust code uses it through bindings, which are not changed"));
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
    let seen = seen(&target.tree, &target.arch, index, includers, &headers)?;
    let mut said = Vec::new();
    for (path, seen) in seen {
        let Some(files) = reach.get_mut(path.as_str()) else { continue };
        match seen {
            Seen::ByAll(why) => {
                said.push(format!("{path}: all that include it ({why})"));
                found.by_many.insert(path, why);
            }
            Seen::By(seers) => {
                let units = |files: &[String]| files.iter().filter(|p| is_unit(p)).count();
                let before = units(files);
                files.retain(|p| *p == path || !is_unit(p) || seers.files.contains(p));
                let kept = units(files);
                let names: Vec<_> = seers.names.iter().map(|n| String::from_utf8_lossy(n)).collect();
                if names.is_empty() && limit.may_be_too_many(kept) {
                    let widest = seers.macros.iter().max_by_key(|(file, _)| includers.closure(file).len());
                    let why = widest.map(|(file, name)| format!("a macro of {file} may put the name {name} together"));
                    found.by_many.extend(why.map(|why| (path.clone(), why)));
                }
                let code = if names.is_empty() {
                    String::new()
                } else {
                    format!(" whose code refers to {}", names.join(", "))
                };
                said.push(format!(
                    "{path}: {}{kept} of {before} files{code}",
                    if names.is_empty() { "" } else { "those of " }
                ));
                let left = before - kept;
                let note = format!("{path}: {left} of {before} files that include it do not use what changes");
                found.unseen.insert(path.clone(), note);
                found.seers.insert(path, seers);
            }
        }
    }
    step.done(&said.join(", "));
    Ok(())
}

fn is_unit(path: &str) -> bool {
    path.ends_with(".c") || path.ends_with(".S")
}

/// The modules that an object is linked into which is compiled of a file elsewhere. Where kbuild told it a name of no module,
/// it took the file's for that (7.2: `xe/i915-display/intel_dp.o`): then it is the module in its folder or the nearest above.
fn modules_of(target: &Target, object: &str, told: Vec<Option<String>>) -> Result<Vec<Option<String>>> {
    let all = modules::index(target)?;
    if told.iter().flatten().all(|name| all.contains_key(name)) {
        return Ok(told);
    }
    let in_folder = |folder: &Path| {
        let here = all.iter().filter(|(_, file)| file.parent().is_some_and(|p| p.ends_with(folder)));
        here.map(|(name, _)| Some(name.clone())).collect::<Vec<_>>()
    };
    let folders = Path::new(object).ancestors().skip(1).filter(|f| f.components().count() > 1);
    match folders.map(in_folder).find(|found| !found.is_empty()) {
        Some(found) if found.len() == 1 => Ok(found),
        _ => bail!("cannot tell which module of {} the object {object} is linked into", target.release),
    }
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// Lets kbuild make those of `objects` whose source it generates and has not yet; true where it made some, so that there is
/// more to be read.
fn make_sources(target: &Target, index: &Index, objects: &Objects) -> Result<bool> {
    let is_there = |stem: &str| ["c", "S"].iter().any(|end| target.tree.join(format!("{stem}.{end}")).is_file());
    let unmade = |object: &&str| {
        let plain = kbuild::plain(object);
        let source = plain.strip_suffix(".o").is_none_or(is_there) || index.compiles(&plain);
        !source
            && !plain.starts_with("rust/")
            && not_kernel_folder(&plain).is_none()
            && !kbuild::is_known(target, &plain)
    };
    let unmade: Vec<&str> = if kbuild::owns(target) { objects.all().filter(unmade).collect() } else { Vec::new() };
    if unmade.is_empty() {
        return Ok(false);
    }
    kbuild::make_objects(target, &unmade)?;
    Ok(unmade.iter().all(|object| kbuild::is_known(target, &kbuild::plain(object))))
}

/// Asks kbuild about the folders of the objects `wanted`; when one is not named there, also the folders whose makefiles
/// reach into others (`../misc/x.o`).
fn objects_of(target: &Target, wanted: &BTreeSet<&str>) -> Result<Objects> {
    let mut dirs: BTreeSet<String> = wanted.iter().map(|s| folder(s).to_string()).collect();
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

fn assembler_file(path: &str) -> Refusal {
    let reason = "functions written in assembler cannot be replaced one by one".to_string();
    Refusal::new("assembler-file", "", path, reason, "write the fix for a C function that calls it")
}
