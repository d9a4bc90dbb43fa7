// SPDX-License-Identifier: GPL-2.0-or-later
//! Two [`ChangeSet`]s of one unit in: of the pair that is compiled as the kernel is, and of the one that is compiled
//! to run in another module. Out: the second with all that the first says has changed.
//!
//! Only the first shows what the running kernel has: with other flags a function may be inlined in other places,
//! and a caller that holds the old code would be missed. Only the code of the second can be moved. So whatever
//! differs in either is carried, and taken from the second; and what the running kernel has no function for is
//! no replacement, but new.

use super::view::{ItemId, ItemKind, View};
use super::{add_families, names, ChangeSet, ChangedFunction};
use crate::error::Refusal;
use std::collections::HashMap;

/// Adds to `moved` what changed in `kernel` alone.
pub fn adopt(moved: &mut ChangeSet<'_>, kernel: &ChangeSet<'_>) {
    let in_moved = functions(&moved.patched);
    for function in &kernel.functions {
        let name = &kernel.patched.items[function.item].name;
        let is_cold = names::cold_parent(name).is_some();
        match in_moved.get(name.as_str()) {
            Some(&item) => match moved.functions.iter_mut().find(|f| f.item == item) {
                Some(known) => known.reasons.clone_from(&function.reasons),
                None => {
                    let original = moved.twins.of_patched[item];
                    moved.functions.push(ChangedFunction { item, original, reasons: function.reasons.clone() });
                }
            },
            // A cold part is the compiler's choice; it goes with its function.
            None if !is_cold => moved.refusals.push(Refusal::new(
                "compiled-otherwise",
                name,
                "",
                "the fix changes it, and it does not exist any more when its file is compiled to run in a module"
                    .into(),
                "mark it noinline in the fix, so that it stays a function of its own",
            )),
            _ => {}
        }
    }
    let in_kernel = functions(&kernel.original);
    for function in &mut moved.functions {
        let known = |o: &ItemId| in_kernel.contains_key(moved.original.items[*o].name.as_str());
        function.original = function.original.filter(known);
    }
    let all = functions(&moved.patched);
    moved.absent = all.iter().filter(|(name, _)| !in_kernel.contains_key(*name)).map(|(_, &item)| item).collect();
    // Data that changed does not depend on flags, but what is seen of it may.
    let named: HashMap<&str, ItemId> =
        moved.patched.items.iter().enumerate().map(|(id, i)| (i.name.as_str(), id)).collect();
    for (item, why) in &kernel.data {
        let name = kernel.patched.items[*item].name.as_str();
        if let Some(&id) = named.get(name).filter(|&&id| !moved.data.iter().any(|(known, _)| *known == id)) {
            moved.data.push((id, why.clone()));
        }
    }
    for (section, why) in &kernel.unnamed_code {
        moved.unnamed_code.entry(section.clone()).or_insert_with(|| why.clone());
    }
    add_families(&moved.patched, &moved.twins, &mut moved.functions);
}

/// Functions by name.
fn functions<'v>(view: &'v View<'_>) -> HashMap<&'v str, ItemId> {
    let all = view.items.iter().enumerate().filter(|(_, i)| i.kind == ItemKind::Function);
    all.map(|(id, i)| (i.name.as_str(), id)).collect()
}
