// SPDX-License-Identifier: GPL-2.0-or-later
//! The functions that a finished live patch registers: the tables in its data, and its manifest in; what they disagree in
//! out.
//!
//! Each new function has an entry symbol `kmend.N.NAME`, and struct klp_func is old_name, new_func, old_sympos
//! (include/linux/livepatch.h). An entry belongs to the klp object whose `funcs` leads to its list: struct klp_object begins
//! with name (none for vmlinux) and funcs.

use super::{unknown, Against, KlpName};
use crate::elf::Object;
use crate::inspect::functions::{Spot, Tables};
use crate::manifest::{Manifest, UnitFacts};
use std::collections::BTreeSet;

/// What is wrong with the functions that `object` registers.
pub(super) fn faults(object: &Object, manifest: &Manifest, against: &Against<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let registered = registered(object, &mut faults);
    let named = |unit: &UnitFacts| {
        let of_unit = unit.object.clone();
        let replaced = unit.functions.iter().filter_map(|f| Some((f.name.clone(), f.sympos?)));
        replaced.map(move |(name, sympos)| (of_unit.clone(), name, sympos)).collect::<Vec<_>>()
    };
    let wanted: BTreeSet<(String, String, u64)> = manifest.units.iter().flat_map(named).collect();
    for (what, all, others) in [
        ("registers, and its manifest does not name,", &registered, &wanted),
        ("names in its manifest, and does not register,", &wanted, &registered),
    ] {
        faults.extend(
            all.difference(others).map(|(of, name, sympos)| format!("it {what} the function {name},{sympos} of {of}")),
        );
    }
    let klp = registered.into_iter().map(|(object, name, sympos)| KlpName { object, name, sympos });
    faults.extend(klp.filter_map(|klp| unknown(&klp, against)));
    faults
}

/// Each function that is registered: klp object, name, position among its namesakes.
fn registered(object: &Object, faults: &mut Vec<String>) -> BTreeSet<(String, String, u64)> {
    let tables = Tables::of(object);
    // The entries of each section in their order: where, name, position.
    let mut entries: Vec<(Spot, String, u64)> = Vec::new();
    for (id, section) in object.sections.iter().enumerate().filter(|(_, s)| s.is_alloc() && !s.is_text()) {
        for r in &section.relocs {
            let entry = object.symbols[r.symbol].name.strip_prefix("kmend.").and_then(|rest| rest.split_once('.'));
            let Some((_, new)) = entry.filter(|(n, _)| n.bytes().all(|b| b.is_ascii_digit())) else { continue };
            // A callback has no name before it.
            let Some(at) = r.offset.checked_sub(8) else { continue };
            let Some(name) = tables.name((id, at)) else { continue };
            let Some(sympos) = tables.number((id, r.offset + 8), 8) else { continue };
            if name != new {
                faults.push(format!("it registers the new code of {new} for {name}"));
            }
            entries.push(((id, at), name, sympos));
        }
    }
    entries.sort();
    let owners = owners(object, &tables, &entries.iter().map(|(at, ..)| *at).collect());
    let owned = entries.into_iter().filter_map(|(at, name, sympos)| {
        // The list that begins last before it is its own.
        match owners.iter().filter(|(start, _)| start.0 == at.0 && *start <= at).max() {
            Some((_, owner)) => Some((owner.clone(), name, sympos)),
            None => {
                faults.push(format!("no klp object has the function {name},{sympos}"));
                None
            }
        }
    });
    owned.collect()
}

/// Where lists of functions begin, and the klp object of each.
fn owners(object: &Object, tables: &Tables<'_>, entries: &BTreeSet<Spot>) -> Vec<(Spot, String)> {
    let mut owners = Vec::new();
    for (id, section) in object.sections.iter().enumerate().filter(|(_, s)| s.is_alloc() && !s.is_text()) {
        for r in &section.relocs {
            let list = tables.pointer((id, r.offset)).filter(|list| entries.contains(list));
            if let (Some(list), Some(at)) = (list, r.offset.checked_sub(8)) {
                owners.extend(tables.object_name((id, at)).map(|name| (list, name)));
            }
        }
    }
    owners
}
