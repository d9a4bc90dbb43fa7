// SPDX-License-Identifier: GPL-2.0-or-later
//! Global names that a unit defines anew and the running kernel has already: a unit's changes and the shipped kernel in,
//! refusals out. Which unit defines a name is a question about the kernel, not about one unit.

use super::overridden::Kernel;
use super::World;
use crate::diff::view::{ItemId, ItemKind, View};
use crate::diff::{names, ChangeSet};
use crate::elf::{Bind, Object};
use crate::error::Refusal;
use std::collections::BTreeSet;

/// Functions and variables that the fix moves from another file to this unit, or defines a second time. Code that the
/// fix leaves alone goes on to use the running kernel's.
pub fn refusals(module: Option<&str>, source: &str, changes: &ChangeSet<'_>, world: &World<'_>) -> Vec<Refusal> {
    let refusal = |name: &str| {
        let owner = owner(name, module, world)?;
        Some(Refusal::new(
            "moved-definition",
            name,
            source,
            format!("the fix defines it in this file, and the running kernel has it from another file of {owner}: code that the fix does not change still uses that one"),
            "keep it in its file; if other code needs it, add a static function with another name",
        ))
    };
    let kernel = Kernel { image: world.image, modules: world.modules };
    let made_strong = made_strong(changes).into_iter().filter(|name| kernel.overrides(module, name));
    new_names(changes).into_iter().chain(made_strong).filter_map(refusal).collect()
}

/// Global names that are weak in the original and no longer in the patched object.
fn made_strong<'c>(changes: &'c ChangeSet<'_>) -> Vec<&'c str> {
    let defined = |object: &'c Object, bind: Bind| {
        object.symbols.iter().filter(move |s| s.bind == bind && s.section().is_some()).map(|s| s.name.as_str())
    };
    let weak: BTreeSet<&str> = defined(changes.original.object, Bind::Weak).collect();
    defined(changes.patched.object, Bind::Global).filter(|name| weak.contains(name)).collect()
}

/// Variables with a value of their own that the fix takes out of one file and adds to another under the same name and with the same
/// size: the running kernel's value would stay behind, and the other file begins with a new one. Each file comes with its changes.
pub fn moved_variables(units: &[(&str, &ChangeSet<'_>)]) -> Vec<Refusal> {
    let kept = |view: &View<'_>, id: ItemId| {
        let item = &view.items[id];
        let is_one = item.kind == ItemKind::Data && view.section(id).is_writable() && !item.is_own_copy(view.object);
        is_one.then(|| (names::base(&item.name).to_string(), item.range.end - item.range.start))
    };
    let gone: Vec<(usize, (String, u64))> = (0..units.len())
        .flat_map(|n| {
            let changes = units[n].1;
            let all = (0..changes.original.items.len()).filter(|&id| changes.twins.of_original[id].is_none());
            all.filter_map(move |id| Some((n, kept(&changes.original, id)?)))
        })
        .collect();
    let mut found = Vec::new();
    for (n, (source, changes)) in units.iter().enumerate() {
        for new in changes.new_data.iter().filter_map(|&id| kept(&changes.patched, id)) {
            let Some((from, _)) = gone.iter().find(|(from, what)| *from != n && *what == new) else { continue };
            found.push(Refusal::new(
                "moved-definition",
                &new.0,
                source,
                format!(
                    "the fix moves this variable here from {}: the running kernel's, with its value, would not move along",
                    units[*from].0
                ),
                "keep the variable in its file, and reach it by a new function there; give a new variable another name",
            ));
        }
    }
    found
}

/// Global names that are defined in the patched object, and in the original not.
fn new_names<'c>(changes: &'c ChangeSet<'_>) -> Vec<&'c str> {
    let (original, patched) = (changes.original.object, &changes.patched);
    let new = patched.items.iter().enumerate().filter(|&(id, item)| {
        item.kind != ItemKind::Anonymous && changes.twins.of_patched[id].is_none() && !item.is_own_copy(patched.object)
    });
    let names = new.flat_map(|(_, item)| &item.symbols).map(|&s| &patched.object.symbols[s]);
    let names = names.filter(|s| !s.is_local()).map(|s| s.name.as_str());
    names.filter(|name| !original.symbols.iter().any(|s| s.name == **name && s.section().is_some())).collect()
}

/// The klp object of the running kernel that has a global symbol of this name, as far as a unit of `module` can mean it.
fn owner(name: &str, module: Option<&str>, world: &World<'_>) -> Option<String> {
    if let Some(module) = module {
        let own = world.modules.get(module).is_some_and(|m| m.named(name).any(|s| !s.is_local()));
        return own.then(|| module.to_string());
    }
    world.image.kallsyms.named(name).any(|s| s.is_global()).then(|| "vmlinux".to_string())
}
