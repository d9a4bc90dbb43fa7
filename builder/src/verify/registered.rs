// SPDX-License-Identifier: GPL-2.0-or-later
//! The functions that a finished live patch registers: the tables in its data, and its manifest in; what they disagree in
//! out.
//!
//! The emitted source has the klp objects in a static `OBJECTS`: struct klp_object begins with name (none for vmlinux) and
//! funcs, struct klp_func is old_name, new_func, old_sympos (include/linux/livepatch.h).

use super::{unknown, Against};
use crate::elf::{Object, Symbol};
use crate::klp::functions::{klp_lists, klp_names, kmend_lists, Tables};
use crate::klp::{Function, KlpName};
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
    let known = object_names(object);
    for section in object.sections.iter().filter(|s| s.name.starts_with(".klp.rela.")) {
        let Some(needs) = super::waits_for(object, section).filter(|needs| *needs != "vmlinux") else { continue };
        if !known.contains(needs) {
            faults.push(format!(
                "section {}: {needs} is none of its klp objects, so that livepatch never applies it",
                section.name
            ));
        }
    }
    let klp = registered.into_iter().map(|(object, name, sympos)| KlpName { object, name, sympos });
    faults.extend(klp.filter_map(|klp| unknown(&klp, against)));
    faults
}

/// The klp objects that it registers.
fn object_names(object: &Object) -> BTreeSet<String> {
    let tables = Tables::of(object);
    kmend_lists(object).flat_map(|start| klp_names(&tables, start)).collect()
}

/// Each function that is registered: klp object, name, position among its namesakes.
fn registered(object: &Object, faults: &mut Vec<String>) -> BTreeSet<(String, String, u64)> {
    let tables = Tables::of(object);
    let mut all = BTreeSet::new();
    for (owner, functions) in kmend_lists(object).flat_map(|start| klp_lists(&tables, start)) {
        for (at, Function { name, sympos }) in functions {
            let code = tables.pointer((at.0, at.1 + 8));
            let is_new = |s: &Symbol| s.section().map(|home| (home, s.value)) == code && own_name(&s.name) == name;
            if !object.symbols.iter().any(is_new) {
                faults.push(format!("what it registers for {name} is not the new code of that"));
            }
            all.insert((owner.clone(), name, sympos));
        }
    }
    all
}

/// The function's name in an entry symbol, `kmend.0.NAME`, or one that was renamed, `kmend.0.own.NAME`.
fn own_name(symbol: &str) -> &str {
    let numbered = symbol.strip_prefix("kmend.").and_then(|rest| rest.split_once('.'));
    let rest = numbered.filter(|(n, _)| n.bytes().all(|b| b.is_ascii_digit())).map_or(symbol, |(_, rest)| rest);
    rest.strip_prefix("own.").filter(|_| numbered.is_some()).unwrap_or(rest)
}
