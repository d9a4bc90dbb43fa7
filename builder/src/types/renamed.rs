// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a variable that may have got another name has the type of the old one: pairs of variables and the debug information of both objects
//! in, those that may still be one out.

use super::dwarf::{Member, Types};
use super::kind::Sides;
use crate::compile::recompile::{recompile, How};
use crate::diff::{names, ChangeSet};
use crate::source::PatchedTree;
use crate::target::kbuild::Unit;
use crate::target::Target;
use anyhow::{Context, Result};
use std::path::Path;

/// Compiles the units in question with debug information, and leaves those pairs that may be one variable.
///
/// # Errors
/// What the compiler says, or malformed debug information.
pub fn ask<'a, 'o: 'a>(
    target: &Target,
    tree: &PatchedTree,
    units: impl Iterator<Item = (&'a Unit, &'a mut ChangeSet<'o>)>,
    work: &Path,
) -> Result<()> {
    let mut concerned: Vec<_> = units.filter(|(_, changes)| !changes.renamed.is_empty()).collect();
    if concerned.is_empty() {
        return Ok(());
    }
    let named: Vec<&Unit> = concerned.iter().map(|(unit, _)| *unit).collect();
    let objects = recompile(target, tree, &named, How::Types, work)?;
    for ((unit, changes), (original, patched)) in concerned.iter_mut().zip(objects) {
        let types = |bytes: &[u8]| Types::read(bytes).with_context(|| unit.object.clone());
        tell_apart(&types(&original)?, &types(&patched)?, changes);
    }
    Ok(())
}

/// Drops the pairs of which the types say that they are two variables. Where there is no debug information nothing is dropped.
pub fn tell_apart(original: &Types, patched: &Types, changes: &mut ChangeSet<'_>) {
    let sides = Sides::new(original, patched);
    let (before, after) = (&changes.original, &changes.patched);
    changes.renamed.retain(|pair| {
        let old = variables(original, &before.items[pair.original].name);
        let new = variables(patched, &after.items[pair.patched].name);
        let is_one = |a: &&Member| new.iter().any(|b| sides.keeps(&a.holds, &b.holds));
        old.is_empty() || new.is_empty() || old.iter().any(is_one)
    });
}

/// All variables that may have this symbol.
fn variables<'t>(types: &'t Types, symbol: &str) -> Vec<&'t Member> {
    let of_name = types.variables.iter().filter(|((_, name), _)| name == names::base(symbol));
    of_name.flat_map(|(_, all)| all).collect()
}
