// SPDX-License-Identifier: GPL-2.0-or-later
//! Compares the types of units before and after the fixes, where these touch more than the bodies of functions:
//! units with their changes in, refusals out.

use super::dwarf::Types;
use crate::compile::again::{again, How};
use crate::diff::{patchability, ChangeSet};
use crate::error::Refusal;
use crate::source::{skeleton, PatchedTree};
use crate::target::kbuild::Unit;
use crate::target::Target;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// The refusals, each with the first unit that shows it.
///
/// # Errors
/// What the compiler says.
pub fn check(
    target: &Target,
    tree: &PatchedTree,
    units: &[(&Unit, &ChangeSet<'_>)],
    allowed: &BTreeSet<String>,
    work: &Path,
) -> Result<Vec<Refusal>> {
    let concerned: Vec<_> = units.iter().filter(|(_, changes)| !changes.functions.is_empty()).collect();
    if concerned.is_empty() || !skeleton::may_change_types(tree) {
        return Ok(Vec::new());
    }
    let named: Vec<&Unit> = concerned.iter().map(|(unit, _)| *unit).collect();
    let objects = again(target, tree, &named, How::Types, work)?;
    let mut found: Vec<Refusal> = Vec::new();
    for ((unit, changes), (original, patched)) in concerned.into_iter().zip(objects) {
        let types = |bytes: &[u8]| Types::read(bytes).with_context(|| unit.object.clone());
        let exported = patchability::exports_of(&changes.original);
        for mut refusal in
            super::refusals(&types(&original)?, &types(&patched)?, allowed, &|name| exported.contains(name))
        {
            if !found.iter().any(|f| f.code == refusal.code && f.symbol == refusal.symbol) {
                refusal.section = unit.source.clone();
                found.push(refusal);
            }
        }
    }
    Ok(found)
}
