// SPDX-License-Identifier: GPL-2.0-or-later
//! Constants without a name, many of which share one section: a view of everything else in, where each of them begins out.
//! Compilers drop the labels (`.LC0`), so a constant begins where something refers to it.

use super::view::{ItemId, ItemKind, View};
use crate::arch::{Access, Arch};
use crate::elf::{SecId, Section, SymKind, Symbol};
use crate::special;
use crate::special::storage::Storage;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// True if a section has constants that no symbol names; `symbols` are the section's own.
pub fn has_any<'s>(arch: &dyn Arch, section: &Section, symbols: impl Iterator<Item = &'s Symbol>) -> bool {
    if section.is_text() || special::row_of(&section.name).is_some() {
        return false;
    }
    let named: u64 = symbols.filter(|s| matches!(s.kind, SymKind::Data | SymKind::None)).map(|s| s.size).sum();
    match Storage::of(section) {
        Storage::ReadOnly => named < section.size,
        Storage::Data => named == 0 && arch.is_constant_pool(&section.name),
        _ => false,
    }
}

/// True for an item that is such a constant.
pub fn is_one(view: &View<'_>, item: ItemId) -> bool {
    let section = view.section(item);
    let is_unnamed = |item: &ItemId| view.items[*item].kind == ItemKind::Anonymous;
    is_unnamed(&item)
        && !view.is_toc(item)
        && match Storage::of(section) {
            Storage::ReadOnly => true,
            Storage::Data => {
                view.object.arch.is_constant_pool(&section.name)
                    && view.items_in(view.items[item].section).iter().all(is_unnamed)
            }
            _ => false,
        }
}

/// Who refers to a place: sections, and the functions in them.
type Users = BTreeSet<(SecId, Option<ItemId>)>;

/// Where the constants of `sections` begin, sorted. An access at a distance that a register holds (`table[n + 1]`) tells
/// nothing of that. Two places next to each other that one function refers to are of one
/// constant: a function may copy it piece by piece while another copies the whole.
pub fn starts(view: &View<'_>, sections: &HashSet<SecId>) -> HashMap<SecId, Vec<u64>> {
    if sections.is_empty() {
        return HashMap::new();
    }
    let mut starts: HashMap<SecId, Vec<u64>> = HashMap::new();
    let mut users: HashMap<SecId, BTreeMap<u64, Users>> = HashMap::new();
    for &id in sections {
        let section = &view.object.sections[id];
        if section.is_constants() {
            starts.insert(id, (0..section.size).step_by(section.entsize as usize).collect());
        }
    }
    for (id, section) in view.object.sections.iter().enumerate().filter(|(_, s)| s.is_alloc()) {
        let mut indexed: HashMap<ItemId, HashSet<u64>> = HashMap::new();
        for r in &section.relocs {
            let symbol = &view.object.symbols[r.symbol];
            let Some(home) = symbol.section().filter(|home| sections.contains(home) && !starts.contains_key(home))
            else {
                continue;
            };
            let user = view.item_at(id, r.offset);
            let around = user.map_or(r.offset..r.offset + 1, |item| view.items[item].range.clone());
            let mut is_indexed = |item: ItemId| {
                let all = indexed.entry(item).or_insert_with(|| {
                    let all = view.object.arch.accesses(section, view.items[item].range.clone()).into_iter();
                    all.filter(|(_, access)| matches!(access, Access::Indexed { .. })).map(|(at, _)| at).collect()
                });
                all.contains(&r.offset)
            };
            if section.is_text() && user.is_some_and(&mut is_indexed) {
                continue;
            }
            let point = (symbol.value as i64).wrapping_add(r.addend).wrapping_add(view.bias(id, around, r));
            if let Ok(point) = u64::try_from(point) {
                // Only functions copy piece by piece; each pointer in data is one reference.
                let user = user.filter(|&item| view.items[item].kind == ItemKind::Function);
                users.entry(home).or_default().entry(point).or_default().insert((id, user));
            }
        }
    }
    for (home, points) in users {
        let mut cuts = Vec::new();
        let mut before: Option<&Users> = None;
        for (&point, of) in &points {
            let is_shared = |user: &(SecId, Option<ItemId>)| user.1.is_some() && of.contains(user);
            if !before.is_some_and(|before| before.iter().any(is_shared)) {
                cuts.push(point);
            }
            before = Some(of);
        }
        starts.insert(home, cuts);
    }
    starts
}
