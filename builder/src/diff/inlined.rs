// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a unit that was compiled to be compared is made of the same functions as the one that runs: the original with
//! a section for each function, the original as it is shipped, and the names of changed functions in; refusals out.
//!
//! What changed is seen in the first, and what is proven is the second. Were a function inlined in another place there, its
//! caller would go on with the old code, unseen. So both have to have the same functions, and a changed one has to be
//! referred to by the same.

use super::names::{cold_parent, without_clone_number};
use super::view::{ItemKind, Ref, View};
use crate::elf::Object;
use crate::error::Refusal;
use std::collections::{BTreeMap, BTreeSet};

/// For each function those that refer to it; cold parts and clones count as the function that they are of.
type Callers = BTreeMap<String, BTreeSet<String>>;

/// The function that a cold part or a clone is of.
fn base(name: &str) -> String {
    without_clone_number(cold_parent(name).unwrap_or(name))
}

fn callers(object: &Object) -> Callers {
    let view = View::new(object);
    let functions = || view.items.iter().enumerate().filter(|(_, item)| item.kind == ItemKind::Function);
    let mut all: Callers = functions().map(|(_, item)| (base(&item.name), BTreeSet::new())).collect();
    for (id, item) in functions() {
        let referred = view.references(id).into_iter().filter_map(|(_, to)| match view.through_toc(to) {
            Ref::Item { item, .. } => Some(item),
            _ => None,
        });
        // Within a section the assembler itself fills branches in, short ones too.
        let branches = object.arch.local_branches(&object.sections[item.section], item.range.clone());
        let branches = branches.into_iter().flatten().filter_map(|b| view.item_at(item.section, b.target));
        for to in referred.chain(branches).map(|to| &view.items[to]).filter(|to| to.kind == ItemKind::Function) {
            all.entry(base(&to.name)).or_default().insert(base(&item.name));
        }
    }
    all
}

/// Compares the two for `changed` functions, by their names in the original.
pub fn check(original: &Object, shipped: &Object, changed: &BTreeSet<&str>) -> Vec<Refusal> {
    if changed.is_empty() {
        return Vec::new();
    }
    let (compared, runs) = (callers(original), callers(shipped));
    let refusal = |name: &str, reason: String| {
        let hint = "the two compiles differ only in -ffunction-sections and debug information: leave this file out, or report this";
        Refusal::new("compiled-otherwise", name, "", reason, hint)
    };
    let only_one = compared.keys().filter(|name| !runs.contains_key(*name));
    let mut refusals: Vec<Refusal> = only_one
        .map(|name| {
            refusal(
                name,
                "it is a separate function when the file is compiled for comparison, but not in the running kernel"
                    .into(),
            )
        })
        .collect();
    for name in changed.iter().map(|name| base(name)).collect::<BTreeSet<_>>() {
        let (Some(before), Some(now)) = (compared.get(&name), runs.get(&name)) else { continue };
        refusals.extend(before.difference(now).filter(|caller| runs.contains_key(*caller)).map(|caller| {
            refusal(
                &name,
                format!(
                    "the fix changes it, and in the running kernel {caller} does not call it: it may be inlined there"
                ),
            )
        }));
    }
    refusals
}
