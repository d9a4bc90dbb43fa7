// SPDX-License-Identifier: GPL-2.0-or-later
//! Pointers to functions that another unit of the fix replaces: the extracts of all units in; each such pointer gets a symbol of
//! its own, which means the running kernel's function. Calls go on to the new code, as within a unit (`extract/`).

use super::provided::Provided;
use crate::diff::warnings::{new_callback, Warning};
use crate::elf::{Bind, Object, Place, Reloc, SecId, SymId, SymKind, Symbol};
use crate::extract::{External, Extract, Origin};
use crate::image::symvers::Symvers;
use crate::special;
use std::ops::Range;

/// What the names of such symbols begin with in a payload.
const RUNNING: &str = "kmend.running.";

/// The name that the author knows: that of a function, if it is a symbol for pointers to one.
pub fn plain(name: &str) -> &str {
    name.strip_prefix(RUNNING).unwrap_or(name)
}

/// Tells pointers and calls apart, in each unit with its module (None for vmlinux).
pub fn settle(units: &mut [(Option<&str>, &mut Extract)], symvers: &Symvers) {
    let is_replaced = |provider: &Extract, name: &str| provider.replaced.iter().any(|r| r.old_name == name);
    let provided = Provided::new(units.iter().map(|(module, extract)| (*module, &**extract)));
    let found: Vec<Vec<String>> = units
        .iter()
        .enumerate()
        .map(|(n, (module, extract))| {
            let foreign = extract.externals.iter().filter(|e| e.origin == Origin::OtherUnits).map(|e| &e.name);
            let replaced = foreign.filter(|name| {
                let owner = provided.unit(*module, name, symvers).filter(|owner| *owner != n);
                owner.is_some_and(|owner| is_replaced(units[owner].1, name))
            });
            replaced.filter(|name| !pointers(&extract.object, name).is_empty()).cloned().collect()
        })
        .collect();
    for ((_, extract), names) in units.iter_mut().zip(found) {
        for name in names {
            split(extract, &name);
        }
    }
}

/// The relocations, by section and number there, that point to the entry of the undefined function `name`.
fn pointers(object: &Object, name: &str) -> Vec<(SecId, usize)> {
    let mut found = Vec::new();
    let is_it = |r: &Reloc| object.symbols[r.symbol].is_undefined() && object.symbols[r.symbol].name == name;
    for (id, section) in object.sections.iter().enumerate().filter(|(_, s)| special::row_of(&s.name).is_none()) {
        for (n, r) in section.relocs.iter().enumerate().filter(|(_, r)| is_it(r)) {
            let around = around(object, id, r.offset);
            let beyond = object.arch.bias(section, around.clone(), r);
            let is_entry = r.addend.wrapping_add(beyond) == 0 || object.arch.is_distance(section, around, r, r.addend);
            if !object.arch.is_branch(section, r) && is_entry {
                found.push((id, n));
            }
        }
    }
    found
}

/// Warnings about pointers to functions that only another unit's payload has: as [`warnings`](crate::diff::warnings) has them for
/// those of one unit.
pub fn new_callbacks(units: &[(Option<&str>, &Extract)], symvers: &Symvers) -> Vec<Warning> {
    let provided = Provided::new(units.iter().copied());
    let mut found: Vec<Warning> = Vec::new();
    for (n, (module, extract)) in units.iter().enumerate() {
        for name in extract.externals.iter().filter(|e| e.origin == Origin::OtherUnits).map(|e| &e.name) {
            let Some(owner) = provided.unit(*module, name, symvers).filter(|owner| *owner != n) else { continue };
            let owner = units[owner].1;
            let is_function = |s: &Symbol| s.name == *name && s.section().is_some() && s.kind == SymKind::Func;
            let is_new = owner.replaced.iter().all(|r| r.old_name != *name);
            if !is_new || !owner.object.symbols.iter().any(is_function) || found.iter().any(|w| w.symbol == *name) {
                continue;
            }
            let object = &extract.object;
            let place = pointers(object, name).first().map(|&(section, r)| place(object, section, r));
            found.extend(place.map(|place| new_callback(name, &place)));
        }
    }
    found
}

/// Where a pointer is, in words: a function and the offset in it, or a datum.
fn place(object: &Object, section: SecId, r: usize) -> String {
    let at = object.sections[section].relocs[r].offset;
    // Code reads it from a table of addresses.
    if object.arch.is_toc(&object.sections[section].name) {
        let leads = |r: &Reloc| {
            let symbol = &object.symbols[r.symbol];
            symbol.section() == Some(section) && (symbol.value as i64).wrapping_add(r.addend) == at as i64
        };
        let code = object.sections.iter().enumerate().filter(|(_, s)| s.is_text());
        let mut users = code.flat_map(|(id, s)| s.relocs.iter().map(move |r| (id, r))).filter(|(_, r)| leads(r));
        if let Some((id, r)) = users.next() {
            return named(object, id, r.offset);
        }
    }
    named(object, section, at)
}

fn named(object: &Object, section: SecId, at: u64) -> String {
    let holds = |s: &&Symbol| s.section() == Some(section) && (s.value..s.value.saturating_add(s.size)).contains(&at);
    match object.symbols.iter().filter(|s| !s.name.starts_with("kmend.")).find(holds) {
        Some(s) if s.kind == SymKind::Func => format!("{}()+{:#x}", s.name, at - s.value),
        Some(s) => s.name.clone(),
        None => format!("{}+{at:#x}", object.sections[section].name),
    }
}

/// The function or datum around a place in a section; all of the section where no symbol tells.
fn around(object: &Object, section: SecId, at: u64) -> Range<u64> {
    let holds = |s: &&Symbol| s.section() == Some(section) && (s.value..s.value.saturating_add(s.size)).contains(&at);
    let found = object.symbols.iter().find(holds).map(|s| s.value..s.value + s.size);
    found.unwrap_or(0..object.sections[section].size)
}

fn split(extract: &mut Extract, name: &str) {
    let all = pointers(&extract.object, name);
    let symbol = format!("{RUNNING}{name}");
    let (kind, bind, place) = (SymKind::None, Bind::Global, Place::Undefined);
    let id: SymId = extract.object.symbols.len();
    extract.object.symbols.push(Symbol { name: symbol.clone(), kind, bind, place, value: 0, size: 0, other: 0 });
    for (section, n) in all {
        extract.object.sections[section].relocs[n].symbol = id;
    }
    extract.externals.push(External { name: symbol, origin: Origin::Running { name: name.into() } });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::X86_64;
    use crate::elf::{Section, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE};
    use crate::extract::Replaced;
    use std::collections::BTreeMap;

    const ADDRESS: u32 = 1;
    const CALL: u32 = 4;
    const IN_CODE: u32 = 11;

    fn extract(sections: Vec<Section>, symbols: &[(&str, Place)], replaced: Option<&str>) -> Extract {
        let symbol = |(name, place): &(&str, Place)| Symbol {
            name: name.to_string(),
            kind: SymKind::Func,
            bind: Bind::Global,
            place: *place,
            value: 0,
            size: 8,
            other: 0,
        };
        let mut all = vec![Symbol::null()];
        all.extend(symbols.iter().map(symbol));
        let externals = symbols
            .iter()
            .filter(|(_, place)| *place == Place::Undefined)
            .map(|(name, _)| External { name: name.to_string(), origin: Origin::OtherUnits });
        Extract {
            externals: externals.collect(),
            object: Object { arch: &X86_64, flags: 0, sections, symbols: all },
            replaced: replaced.map(|n| Replaced { old_name: n.into(), symbol: n.into() }).into_iter().collect(),
            callbacks: Vec::new(),
            data: Vec::new(),
            special: BTreeMap::new(),
        }
    }

    fn section(name: &str, flags: u32, data: &[u8], relocs: &[(u64, u32, SymId, i64)]) -> Section {
        let relocs = relocs.iter().map(|&(offset, kind, symbol, addend)| Reloc { offset, kind, symbol, addend });
        Section {
            name: name.into(),
            flags: u64::from(SHF_ALLOC | flags),
            size: data.len() as u64,
            data: data.to_vec(),
            relocs: relocs.collect(),
            ..Section::default()
        }
    }

    #[test]
    fn calls_go_to_the_new_code_and_pointers_to_the_running_function() {
        let nops = [0x90; 8];
        let mut owner = extract(
            vec![Section::default(), section(".text.f", SHF_EXECINSTR, &nops, &[])],
            &[("f", Place::In(1)), ("fresh", Place::In(1))],
            Some("f"),
        );
        // call f; mov $f, %rdi; mov $fresh, %rdi
        let code = [0xe8, 0, 0, 0, 0, 0x48, 0xc7, 0xc7, 0, 0, 0, 0, 0x48, 0xc7, 0xc7, 0, 0, 0, 0];
        let relocs = [(1, CALL, 2, -4), (8, IN_CODE, 2, 0), (15, IN_CODE, 3, 0)];
        let mut user = extract(
            vec![
                Section::default(),
                section(".text.g", SHF_EXECINSTR, &code, &relocs),
                section(".data.ops", SHF_WRITE, &[0; 16], &[(0, ADDRESS, 2, 0), (8, ADDRESS, 2, 4)]),
            ],
            &[("g", Place::In(1)), ("f", Place::Undefined), ("fresh", Place::Undefined)],
            None,
        );
        user.object.symbols[1].size = code.len() as u64;
        settle(&mut [(None, &mut owner), (None, &mut user)], &Symvers::default());
        let names = |section: SecId| -> Vec<&str> {
            user.object.sections[section].relocs.iter().map(|r| user.object.symbol_name(r.symbol)).collect()
        };
        assert_eq!(names(1), ["f", "kmend.running.f", "fresh"]);
        assert_eq!(names(2), ["kmend.running.f", "f"], "the second is a place inside of the function");
        let running = user.externals.iter().find(|e| e.means() == "f" && e.name != "f").expect("a symbol for pointers");
        assert_eq!(running.origin, Origin::Running { name: "f".into() });
        assert_eq!(plain(&running.name), "f");
    }
}
