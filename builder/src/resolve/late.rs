// SPDX-License-Identifier: GPL-2.0-or-later
//! Relocations that come too late. Jump labels, static calls and alternatives are read when the live patch
//! module loads; a relocation that waits for another module is applied after that
//! (kernel/livepatch/core.c, klp_init_object_loaded). Code with static keys and static calls of modules is compiled
//! differently (`compile/recompile.rs`); what still depends on such a relocation is refused.

use crate::diff::view::{ItemKind, Ref};
use crate::diff::ChangeSet;
use crate::elf::Object;
use crate::error::Refusal;
use crate::image::symvers::Symvers;
use crate::section_table::{row_of, JUMP_TABLE};
use crate::special::known::{class_of, Class};
use std::collections::HashSet;

/// What the names of static calls' trampolines begin with (include/linux/static_call_types.h).
pub const TRAMPOLINE: &str = "__SCT__";
/// What the names of their keys begin with.
pub const KEY: &str = "__SCK__";

/// Whether changed code of a module's unit uses static keys or static calls that are not vmlinux's.
pub fn uses_keys(changes: &ChangeSet<'_>, symvers: &Symvers) -> bool {
    let view = &changes.patched;
    // What the running module has, or another.
    let is_late = |to: Ref| match to {
        Ref::External { symbol, .. } => !symvers.is_open(&view.object.symbols[symbol].name),
        Ref::Item { item, .. } => {
            // Descriptors of dynamic debug are copied with the code.
            let is_kept =
                class_of(&view.section(item).name) == Some(Class::Data) && view.section(item).name != "__dyndbg";
            view.items[item].kind == ItemKind::Data && is_kept && changes.twins.of_patched[item].is_some()
        }
        _ => false,
    };
    let is_late_call = |to: Ref| match to {
        Ref::External { symbol, .. } => view.object.symbols[symbol].name.starts_with(TRAMPOLINE) && is_late(to),
        Ref::Item { item, .. } => view.items[item].name.starts_with(TRAMPOLINE),
        _ => false,
    };
    changes.functions.iter().any(|f| {
        let mut jumps = changes.entries.by_item.get(&f.item).into_iter().flatten();
        view.references(f.item).into_iter().any(|(_, to)| is_late_call(to))
            || jumps.any(|entry| {
                let section = &view.object.sections[entry.section];
                let mut keys = section.relocs_in(entry.range.clone()).iter();
                section.name == JUMP_TABLE
                    && keys.any(|r| is_late(view.reference(entry.section, entry.range.clone(), r)))
            })
    })
}

/// What in a payload depends on relocations that come too late; `late` are its symbols that wait for `module`.
pub fn refusals(object: &Object, module: &str, late: &HashSet<String>) -> Vec<Refusal> {
    let mut found = Vec::new();
    for section in &object.sections {
        for r in &section.relocs {
            let symbol = &object.symbols[r.symbol];
            let name = &symbol.name;
            // The payload's own function may have the name of the running one, to which a pointer goes.
            if !symbol.is_undefined() || !late.contains(name) {
                continue;
            }
            let what = match row_of(&section.name).and_then(|row| row.early) {
                Some(what) => what,
                None if section.is_text() && name.starts_with(TRAMPOLINE) && object.arch.is_branch(section, r) => {
                    "a static call"
                }
                None => continue,
            };
            found.push(Refusal::new(
                "key-in-module",
                name,
                &section.name,
                format!(
                    "the changed code uses {what} of the module {module}, which may be loaded after the live patch"
                ),
                "use static_key_enabled() (or KLP_STATIC_CALL) in the fix instead",
            ));
        }
    }
    found
}
