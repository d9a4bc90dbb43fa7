// SPDX-License-Identifier: GPL-2.0-or-later
//! Units on their way through the pipeline: compiled pairs in; units with their objects, those that hold changes, and
//! what brought the changes, out.

use super::unit::{load, Both, Changed, Compiled, Shelf};
use crate::audit;
use crate::compile::named;
use crate::compile::recompile::{self, How};
use crate::diff::locals::Evidence;
use crate::diff::{patchability, ChangedFunction};
use crate::elf::read::{read, Take};
use crate::elf::Object;
use crate::explain::{self, Cause};
use crate::files;
use crate::image::symvers::Symvers;
use crate::image::Image;
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

/// Compares all units. Leaves out those that a changed header reaches and that compile to the same code all the same; what
/// did not change has nothing to prove. One stays in any case.
pub fn with_changes<'u>(
    units: &'u [Compiled],
    tree: &PatchedTree,
    image: &Image,
    notes: &mut Vec<String>,
) -> Result<Vec<Changed<'u>>> {
    let mut kept = Vec::new();
    let mut last = None;
    for unit in units {
        let changed = Changed::of(unit, image)?;
        if tree.files.contains_key(changed.source()) || changed.changes.is_any() {
            kept.push(changed);
        } else {
            last = Some(changed);
        }
    }
    let mut same = units.len() - kept.len();
    if let (true, Some(last)) = (kept.is_empty(), last) {
        kept.push(last);
        same -= 1;
    }
    if same > 0 {
        notes.push(format!("{} compile to the same code with and without the fix", kbuild::count(same)));
    }
    Ok(kept)
}

/// Takes out of a unit's changes the functions of vmlinux that ran when the kernel started and that the fix changes only because the
/// compiler puts other functions into them: inline functions of headers, or functions of their file. Their code is gone, and
/// the fix says nothing of them. Modules are loaded later, so theirs stay. Gives a note where there are some.
pub fn leave_out_started(unit: &mut Changed<'_>, tree: &PatchedTree, fixed: &Fixed) -> Option<String> {
    let (source, pair) = (unit.source(), unit.pair);
    let read = |path: &str| path == source || pair.inputs.iter().any(|input| input.ends_with(path));
    let inline = |(path, file): (&String, &TouchedFile)| {
        path == source || !read(path) || path.ends_with(".h") && only_inline_functions(file)
    };
    if unit.module().is_some() || !tree.files.iter().filter(|(_, f)| f.original != f.patched).all(inline) {
        return None;
    }
    let changes = &mut unit.changes;
    let (original, patched) = (&changes.original, &changes.patched);
    let in_init = |section: &str| section == ".init.text" || section.starts_with(".init.text.");
    let is_touched = tree.files.contains_key(source);
    let is_alone = |f: &ChangedFunction| {
        let name = patched.items[f.item].name.split('.').next().unwrap_or_default();
        !is_touched || fixed.leaves_alone(source, name)
    };
    let has_run = |f: &ChangedFunction| {
        f.original.is_some_and(|o| in_init(&original.section(o).name))
            && in_init(&patched.section(f.item).name)
            && is_alone(f)
    };
    let (started, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut changes.functions).into_iter().partition(has_run);
    changes.functions = rest;
    let names: Vec<&str> = started.iter().map(|f| patched.items[f.item].name.as_str()).collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!("{source}: {names} ran when the kernel booted, with the old code that the fix changes; left out")
    })
}

/// Compiles units again of which the code does not tell everything: which static variable is which, and which variable of a
/// section a reference counts from. They are compared once more.
pub fn settle<'u>(
    target: &Target,
    (tree, fixed): (&PatchedTree, &Fixed),
    units: &mut [Changed<'u>],
    image: &Image,
    shelf: &'u Shelf,
    work: &Path,
) -> Result<()> {
    // What is found out is asked of the first comparison, so all of it is before the second.
    let mut asked: Vec<_> = units.iter_mut().filter(|unit| unit.changes.needs_evidence()).collect();
    if !asked.is_empty() {
        find_statics(target, (tree, fixed), &mut asked, work)?;
    }
    let mut asked: Vec<_> = units.iter_mut().filter(|unit| patchability::has_borders(&unit.changes)).collect();
    if !asked.is_empty() {
        name_data(target, tree, &mut asked, shelf, work)?;
    }
    let was_asked = |unit: &Changed<'_>| unit.changes.needs_evidence() || patchability::has_borders(&unit.changes);
    units.iter_mut().filter(|unit| was_asked(unit)).try_for_each(|unit| unit.compare(image))
}

/// Has debug information say which static variable is which.
fn find_statics(
    target: &Target,
    (tree, fixed): (&PatchedTree, &Fixed),
    asked: &mut [&mut Changed<'_>],
    work: &Path,
) -> Result<()> {
    let named: Vec<&kbuild::Unit> = asked.iter().map(|unit| &unit.pair.unit).collect();
    let read = recompile::types(target, tree, &named, work, |i, (original, patched)| {
        let both = || -> Result<_> {
            let mut evidence = Evidence { original: read_statics(&original)?, patched: read_statics(&patched)? };
            for declared in evidence.patched.values_mut() {
                declared.line =
                    declared.line.and_then(|n| fixed.original_number(&declared.file, n, &declared.function));
            }
            let declared = |bytes: &[u8]| audit::statics::read(bytes, &read(bytes, Take::NoDebug)?);
            Ok((evidence, [declared(&original)?, declared(&patched)?]))
        };
        both().with_context(|| format!("{}: debug information", named[i].object))
    })?;
    for (unit, (evidence, declared)) in asked.iter_mut().zip(read) {
        unit.evidence = Some(evidence);
        unit.declared = Some(declared);
    }
    Ok(())
}

/// Has references near the borders between variables name the one that they count from.
fn name_data<'u>(
    target: &Target,
    tree: &PatchedTree,
    asked: &mut [&mut Changed<'u>],
    shelf: &'u Shelf,
    work: &Path,
) -> Result<()> {
    let named: Vec<&kbuild::Unit> = asked.iter().map(|unit| &unit.pair.unit).collect();
    let objects = recompile::naming_data(target, tree, &named, work)?;
    for (unit, (plain, moved)) in asked.iter_mut().zip(objects) {
        let pair = unit.pair;
        let load = |bytes: &[u8], like: &Object| -> Result<Object> {
            let mut object = load(pair, bytes, "compiled again, with names")?;
            named::restore(&mut object, like);
            Ok(object)
        };
        let both = |(original, patched): &recompile::Pair, like: Both<'_>| -> Result<Both<'u>> {
            Ok(shelf.keep((load(original, like.0)?, load(patched, like.1)?)))
        };
        (unit.original, unit.patched) = both(&plain, (unit.original, unit.patched))?;
        if let (Some(moved), Some(like)) = (&moved, unit.moved) {
            unit.moved = Some(both(moved, like)?);
        }
    }
    Ok(())
}

/// Which lines of the fixes brought which change of a unit: by the name of the patched function.
pub fn causes(target: &Target, unit: &Changed<'_>, fixed: &Fixed) -> BTreeMap<String, Vec<Cause>> {
    let source = |file: &str| files::read_text(&target.tree.join(file)).ok();
    // Code that moves has no line tables.
    explain::causes(&unit.pair.original, &unit.pair.patched, unit.in_kernel(), Some(fixed), &source)
}

/// Units with code that would not work in a live patch as it is compiled get a pair of objects that do without it: in
/// vmlinux, what the kernel changes at boot; in modules, keys that come with the module; in both, jumps that are too short to
/// leave their section.
pub fn do_without<'u>(
    target: &Target,
    tree: &PatchedTree,
    units: &mut [Changed<'u>],
    (image, symvers): (&Image, &Symvers),
    shelf: &'u Shelf,
    work: &Path,
) -> Result<()> {
    let possible = |how: &How| recompile::is_possible(*how, target, tree);
    for how in [How::ReadsVariables, How::ReadsKeys, How::LongJumps].into_iter().filter(possible) {
        let is_concerned = |unit: &&mut Changed<'u>| match (how, unit.module()) {
            (How::ReadsVariables, None) if unit.moved.is_none() => patchability::is_changed_at_boot(&unit.changes),
            (How::ReadsKeys, Some(_)) => late::uses_keys(unit.in_kernel(), symvers),
            // What is compiled again for another reason has long jumps too.
            (How::LongJumps, _) if unit.moved.is_none() => patchability::has_short_jumps(&unit.changes),
            _ => false,
        };
        let concerned: Vec<_> = units.iter_mut().filter(is_concerned).collect();
        if concerned.is_empty() {
            continue;
        }
        let named: Vec<&kbuild::Unit> = concerned.iter().map(|unit| &unit.pair.unit).collect();
        let objects = recompile::recompile(target, tree, &named, how, work)?;
        for (unit, (original, patched)) in concerned.into_iter().zip(objects) {
            let load = |bytes: &[u8], like: &Object| -> Result<Object> {
                let mut object = load(unit.pair, bytes, "compiled again")?;
                if how == How::LongJumps {
                    named::restore(&mut object, like);
                }
                Ok(object)
            };
            let pair = shelf.keep((load(&original, unit.original)?, load(&patched, unit.patched)?));
            unit.take_code_of(pair, image)?;
        }
    }
    Ok(())
}
