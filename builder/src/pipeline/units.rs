// SPDX-License-Identifier: GPL-2.0-or-later
//! Units on their way through the line: compiled pairs in; units with their objects, those that hold changes, and what
//! brought the changes, out.

use super::Changed;
use crate::audit::{self, statics::Statics as Declarations};
use crate::compile::again::{self, How};
use crate::compile::{self, named, ObjectPair};
use crate::diff::locals::Evidence;
use crate::diff::{self, patchability, ChangeSet, ChangedFunction};
use crate::elf::read::{read, Take};
use crate::elf::Object;
use crate::explain::{self, Cause};
use crate::files;
use crate::image::symvers::Symvers;
use crate::image::Image;
use crate::reach::affected::Affected;
use crate::reach::headers::changed::only_inline_functions;
use crate::resolve::late;
use crate::source::fixed::Fixed;
use crate::source::{PatchedTree, TouchedFile};
use crate::target::kbuild;
use crate::target::Target;
use crate::types::statics::read_statics;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// One unit with all that is known of it.
pub struct Unit {
    /// The objects as they were compiled.
    pub pair: ObjectPair,
    /// The original, with a section for each function.
    pub original: Object,
    /// The patched one.
    pub patched: Object,
    /// Both, compiled to run in another module, where the architecture needs that.
    pub moved: Option<(Object, Object)>,
    /// What debug information says of static variables, where the code does not tell them apart.
    pub evidence: Option<Evidence>,
    /// The same for the second reader, which reads it by itself: of the original and of the patched object.
    pub declared: Option<[Declarations; 2]>,
}

/// Compiles all units, and reads the objects.
pub fn compile_units(target: &Target, tree: &PatchedTree, affected: &Affected, work: &Path) -> Result<Vec<Unit>> {
    let pairs = compile::compile(target, tree, &affected.units, work)?;
    pairs
        .into_iter()
        .map(|pair| {
            let load = |bytes: &[u8], which: &str| load(&pair, bytes, which);
            let (original, patched) = (load(&pair.original, "original")?, load(&pair.patched, "patched")?);
            let moved = match &pair.moved {
                Some(m) => {
                    Some((load(&m.original, "original, to be moved")?, load(&m.patched, "patched, to be moved")?))
                }
                None => None,
            };
            Ok(Unit { pair, original, patched, moved, evidence: None, declared: None })
        })
        .collect()
}

/// Leaves out the units that a changed header reaches and that compile to the same code all the same; what
/// did not change has nothing to prove. One stays in any case.
pub fn with_changes(units: Vec<Unit>, tree: &PatchedTree, image: &Image, notes: &mut Vec<String>) -> Result<Vec<Unit>> {
    let mut kept = Vec::new();
    let mut same = Vec::new();
    for unit in units {
        let touched = tree.files.contains_key(&unit.pair.unit.source);
        if touched || changes_of(&unit, image)?.is_any() {
            kept.push(unit);
        } else {
            same.push(unit);
        }
    }
    if kept.is_empty() {
        kept.extend(same.pop());
    }
    if !same.is_empty() {
        notes.push(format!("{} compile to the same code with and without the fix", kbuild::count(same.len())));
    }
    Ok(kept)
}

/// Takes out of `changes` the functions of vmlinux that ran when the kernel started and that the fix changes only through
/// inline functions of headers: their code is gone, and the fix says nothing of them. Modules are loaded later, so theirs
/// stay. Gives a note where there are some.
pub fn leave_out_started(unit: &Unit, tree: &PatchedTree, changes: &mut ChangeSet<'_>) -> Option<String> {
    let (source, module) = (&unit.pair.unit.source, &unit.pair.unit.module);
    let read = |path: &str| path == source || unit.pair.inputs.iter().any(|input| input.ends_with(path));
    let inline =
        |(path, file): (&String, &TouchedFile)| !read(path) || path.ends_with(".h") && only_inline_functions(file);
    if module.is_some() || !tree.files.iter().filter(|(_, f)| f.original != f.patched).all(inline) {
        return None;
    }
    let (original, patched) = (&changes.original, &changes.patched);
    let in_init = |section: &str| section == ".init.text" || section.starts_with(".init.text.");
    let has_run = |f: &ChangedFunction| {
        f.original.is_some_and(|o| in_init(&original.section(o).name)) && in_init(&patched.section(f.item).name)
    };
    let (started, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut changes.functions).into_iter().partition(has_run);
    changes.functions = rest;
    let names: Vec<&str> = started.iter().map(|f| patched.items[f.item].name.as_str()).collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!("{source}: {names} ran when the kernel booted, with the old code of the header; left out")
    })
}

/// Reads one object of a unit.
pub fn load(pair: &ObjectPair, bytes: &[u8], which: &str) -> Result<Object> {
    read(bytes, Take::NoDebug).with_context(|| format!("{} ({which})", pair.unit.object))
}

/// What the fix changes in a unit, in code that can run in the live patch.
pub fn changes_of<'u>(unit: &'u Unit, image: &Image) -> Result<ChangeSet<'u>> {
    let evidence = unit.evidence.as_ref();
    let changes = diff::diff_with(&unit.original, &unit.patched, &image.layouts, evidence)?;
    let Some((original, patched)) = &unit.moved else { return Ok(changes) };
    let mut moved = diff::diff_with(original, patched, &image.layouts, evidence)?;
    diff::moved::adopt(&mut moved, &changes);
    Ok(moved)
}

/// Compiles units again of which the code does not tell everything: which static variable is which, and which variable of a
/// section a reference counts from.
pub fn settle(target: &Target, tree: &PatchedTree, units: &mut [Unit], image: &Image, work: &Path) -> Result<()> {
    let (mut statics, mut names) = (Vec::new(), Vec::new());
    for (i, unit) in units.iter().enumerate() {
        let changes = changes_of(unit, image)?;
        if changes.needs_evidence() {
            statics.push(i);
        }
        if patchability::has_borders(&changes) {
            names.push(i);
        }
    }
    let named = |all: &[usize], units: &[Unit]| all.iter().map(|&i| units[i].pair.unit.clone()).collect::<Vec<_>>();
    if !statics.is_empty() {
        let asked = named(&statics, units);
        let fixed = Fixed::of(tree, &target.tree_inside);
        let asked: Vec<&kbuild::Unit> = asked.iter().collect();
        let read = again::types(target, tree, &asked, work, |i, (original, patched)| {
            let both = || -> Result<_> {
                let mut evidence = Evidence { original: read_statics(&original)?, patched: read_statics(&patched)? };
                for declared in evidence.patched.values_mut() {
                    declared.line =
                        declared.line.and_then(|n| fixed.original_number(&declared.file, n, &declared.function));
                }
                let declared = |bytes: &[u8]| audit::statics::read(bytes, &read(bytes, Take::NoDebug)?);
                Ok((evidence, [declared(&original)?, declared(&patched)?]))
            };
            both().with_context(|| format!("{}: debug information", asked[i].object))
        })?;
        for (i, (evidence, declared)) in statics.into_iter().zip(read) {
            units[i].evidence = Some(evidence);
            units[i].declared = Some(declared);
        }
    }
    if !names.is_empty() {
        let asked = named(&names, units);
        let objects = again::naming_data(target, tree, &asked.iter().collect::<Vec<_>>(), work)?;
        for (i, ((original, patched), moved)) in names.into_iter().zip(objects) {
            let load = |bytes: &[u8], like: &Object| -> Result<Object> {
                let mut object = load(&units[i].pair, bytes, "compiled again, with names")?;
                named::restore(&mut object, like);
                Ok(object)
            };
            let unit = &units[i];
            let (new_original, new_patched) = (load(&original, &unit.original)?, load(&patched, &unit.patched)?);
            let new_moved = match (&moved, &unit.moved) {
                (Some((a, b)), Some((x, y))) => Some((load(a, x)?, load(b, y)?)),
                _ => None,
            };
            let unit = &mut units[i];
            (unit.original, unit.patched) = (new_original, new_patched);
            if new_moved.is_some() {
                unit.moved = new_moved;
            }
        }
    }
    Ok(())
}

/// Which lines of the fixes brought which change: for each unit, by the name of the patched function.
pub fn causes(target: &Target, changed: &Changed<'_>, fixed: &Fixed) -> Result<Vec<BTreeMap<String, Vec<Cause>>>> {
    let Changed { image, .. } = *changed;
    let source = |file: &str| files::read_text(&target.tree.join(file)).ok();
    let of_unit = |(unit, changes): (&Unit, &ChangeSet<'_>)| {
        let (original, patched) = (&unit.pair.original, &unit.pair.patched);
        if unit.moved.is_none() {
            return Ok(explain::causes(original, patched, changes, Some(fixed), &source));
        }
        // Code that moves has no line tables.
        let kernel = diff::diff(&unit.original, &unit.patched, &image.layouts)?;
        Ok(explain::causes(original, patched, &kernel, Some(fixed), &source))
    };
    changed.each().map(of_unit).collect()
}

/// Units with code that would not work in a live patch as it is compiled get a pair of objects that do without it: in
/// vmlinux, what the kernel changes at boot; in modules, keys that come with the module.
pub fn do_without(
    target: &Target,
    tree: &PatchedTree,
    units: &mut [Unit],
    image: &Image,
    symvers: &Symvers,
    work: &Path,
) -> Result<()> {
    let possible = |how: &How| again::is_possible(*how, target, tree);
    for how in [How::ReadsVariables, How::ReadsKeys].into_iter().filter(possible) {
        let mut concerned = Vec::new();
        for (i, unit) in units.iter().enumerate() {
            let changes = || diff::diff(&unit.original, &unit.patched, &image.layouts);
            let is_concerned = match (how, &unit.pair.unit.module) {
                (How::ReadsVariables, None) if unit.moved.is_none() => patchability::is_changed_at_boot(&changes()?),
                (How::ReadsKeys, Some(_)) => late::uses_keys(&changes()?, symvers),
                _ => false,
            };
            if is_concerned {
                concerned.push(i);
            }
        }
        if concerned.is_empty() {
            continue;
        }
        let named: Vec<&kbuild::Unit> = concerned.iter().map(|&i| &units[i].pair.unit).collect();
        let objects = again::again(target, tree, &named, how, work)?;
        for (i, (original, patched)) in concerned.into_iter().zip(objects) {
            let load = |bytes: &[u8]| load(&units[i].pair, bytes, "compiled again");
            units[i].moved = Some((load(&original)?, load(&patched)?));
        }
    }
    Ok(())
}
