// SPDX-License-Identifier: GPL-2.0-or-later
//! Compares the types of units before and after the fixes, if the fixes touch more than function bodies:
//! units with their changes in, refusals out.

use super::dwarf::Types;
use super::is_allowed;
use crate::compile::{cache, recompile, ObjectPair};
use crate::diff::{patchability, ChangeSet};
use crate::error::Refusal;
use crate::files;
use crate::source::{skeleton, PatchedTree};
use crate::target::{kbuild, Target};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

/// A checksum of the rules by which types are read and compared: results of other rules are not used.
static RULES: LazyLock<String> = LazyLock::new(|| {
    let rules = [
        include_str!("mod.rs"),
        include_str!("dwarf.rs"),
        include_str!("entries.rs"),
        include_str!("kind.rs"),
        include_str!("../elf/debug.rs"),
    ];
    files::sha256(rules.concat().as_bytes())
});

/// The refusals, each with the first unit that shows it. What a pair of objects says is kept by their checksums.
///
/// # Errors
/// What the compiler says.
pub fn check(
    target: &Target,
    tree: &PatchedTree,
    units: &[(&ObjectPair, &ChangeSet<'_>)],
    allowed: &BTreeSet<String>,
    work: &Path,
) -> Result<Vec<Refusal>> {
    let typed = skeleton::typed(tree);
    // A deleted header is in no list of what the patched unit read.
    let deletes = tree.files.values().any(|file| file.patched.is_none());
    let sees = |pair: &ObjectPair| {
        let reads = || pair.inputs.iter().any(|path| typed.contains(kbuild::in_tree(target, path).as_str()));
        deletes || typed.contains(pair.unit.source.as_str()) || reads()
    };
    let concerned: Vec<_> =
        units.iter().filter(|(pair, changes)| !changes.functions.is_empty() && sees(pair)).collect();
    if concerned.is_empty() {
        return Ok(Vec::new());
    }
    let named: Vec<&kbuild::Unit> = concerned.iter().map(|(pair, _)| &pair.unit).collect();
    let all = recompile::types(target, tree, &named, work, |i, (original, patched)| {
        let key = files::key(&["types", &RULES, &files::sha256(&original), &files::sha256(&patched)]);
        let types = |bytes: &[u8]| Types::read(bytes).with_context(|| named[i].object.clone());
        cache::found(&key, || Ok(super::refusals(&types(&original)?, &types(&patched)?, &BTreeSet::new(), &|_| true)))
    })?;
    let mut found: Vec<Refusal> = Vec::new();
    for ((pair, changes), all) in concerned.into_iter().zip(all) {
        let exported = patchability::called_from_outside(&changes.original);
        let counts = |refusal: &Refusal| match refusal.code.as_str() {
            super::EXPORT_CHANGED => exported.contains(refusal.symbol.as_str()),
            _ => !is_allowed(allowed, &refusal.symbol),
        };
        for mut refusal in all.into_iter().filter(counts) {
            if !found.iter().any(|f| f.code == refusal.code && f.symbol == refusal.symbol) {
                refusal.section = pair.unit.source.clone();
                found.push(refusal);
            }
        }
    }
    Ok(found)
}
