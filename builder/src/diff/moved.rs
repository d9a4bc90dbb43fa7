// SPDX-License-Identifier: GPL-2.0-or-later
//! Two [`ChangeSet`]s of one unit in: of the pair that is compiled as the kernel is, and of the one that is compiled
//! to run in another module. Out: the code of the second for what changed in the first.
//!
//! Only the first shows what the running kernel has: with other flags a function may be inlined in other places, and
//! a caller that holds the old code would be missed. A function whose code is the same there does the same, whatever
//! the second pair looks like. Only the code of the second can be moved. What that calls and the running kernel has
//! no function for is added as a copy.

use super::view::{ItemId, ItemKind, View};
use super::{add_families, names, ChangeSet, ChangedData, ChangedFunction};
use crate::error::Refusal;
use std::collections::HashMap;

/// Makes `moved` carry what changed in `kernel`, and nothing else.
pub fn adopt(moved: &mut ChangeSet<'_>, kernel: &ChangeSet<'_>) {
    let in_kernel = functions(&kernel.original);
    let in_moved = functions(&moved.patched);
    let mut carried = Vec::new();
    for function in &kernel.functions {
        let name = &kernel.patched.items[function.item].name;
        if let Some(&item) = in_moved.get(name.as_str()) {
            let original = function.original.and(moved.twins.of_patched[item]);
            carried.push(ChangedFunction { item, original, reasons: function.reasons.clone() });
        } else if names::cold_parent(name).is_none() {
            // A cold part is the compiler's choice; any other function has callers that go on to call the old one.
            moved.lost.push(Refusal::new(
                "compiled-otherwise",
                name,
                "",
                "the fix changes it, and it no longer exists when its file is compiled to run in a module".into(),
                "mark it noinline in the fix, so that it remains a separate function",
            ));
        }
    }
    moved.absent = in_moved.iter().filter(|(name, _)| !in_kernel.contains_key(*name)).map(|(_, &item)| item).collect();
    moved.functions = carried;
    // Data do not depend on flags; what is refused of them is refused in either.
    let named: HashMap<&str, ItemId> =
        moved.patched.items.iter().enumerate().map(|(id, i)| (i.name.as_str(), id)).collect();
    for datum in &kernel.data {
        let name = kernel.patched.items[datum.item].name.as_str();
        if let Some(&item) = named.get(name).filter(|&&id| !moved.data.iter().any(|known| known.item == id)) {
            moved.data.push(ChangedData { item, ..datum.clone() });
        }
    }
    moved.unnamed_code.clone_from(&kernel.unnamed_code);
    moved.left_out.clone_from(&kernel.left_out);
    add_families(&moved.patched, &moved.twins, &mut moved.functions);
    // Where the running kernel has no such part there is nothing that it takes the place of.
    for function in &mut moved.functions {
        let name = moved.patched.items[function.item].name.as_str();
        if names::cold_parent(name).is_some() && !in_kernel.contains_key(name) {
            function.original = None;
        }
    }
}

/// Functions by name.
fn functions<'v>(view: &'v View<'_>) -> HashMap<&'v str, ItemId> {
    let all = view.items.iter().enumerate().filter(|(_, i)| i.kind == ItemKind::Function);
    all.map(|(id, i)| (i.name.as_str(), id)).collect()
}
