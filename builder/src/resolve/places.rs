// SPDX-License-Identifier: GPL-2.0-or-later
//! What the running kernel has where the payload's references lead: a payload and the places of its undefined symbols in,
//! refusals out. Code must not refer to freed memory or write to read-only memory, and an indirect call may only enter
//! functions that begin with ENDBR.

use super::{KlpSymbol, World};
use crate::diff::storage::read_only_written;
use crate::elf::{Object, Reloc, SecId, Section, SymKind, Symbol};
use crate::error::Refusal;
use crate::extract::out_of_reach;
use crate::image::indirect::IndirectCalls;
use crate::image::shipped::Spot;
use crate::special::storage::Storage;
use crate::special::{self, marks, writes};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// A place of the image or of a shipped module.
#[derive(Clone, Debug)]
pub struct Found {
    /// The module; None for vmlinux.
    pub module: Option<String>,
    /// Where in it.
    pub spot: Spot,
}

/// Where a livepatch symbol leads once the kernel has resolved it.
pub fn of_klp(klp: &KlpSymbol, world: &World<'_>) -> Option<Found> {
    let nth = klp.sympos.saturating_sub(1) as usize;
    let spot = match &klp.object {
        None => Spot { space: 0, at: world.image.kallsyms.named(&klp.name).nth(nth)?.address },
        Some(module) => {
            let symbol = world.modules.get(module)?.named(&klp.name).nth(nth)?;
            Spot { space: symbol.section()?, at: symbol.value }
        }
    };
    Some(Found { module: klp.object.clone(), spot })
}

/// Where an export of that name is.
pub fn of_export(name: &str, world: &World<'_>) -> Option<Found> {
    match &world.symvers.get(name)?.module {
        None => {
            let symbol = world.image.kallsyms.named(name).find(|s| s.is_global())?;
            Some(Found { module: None, spot: Spot { space: 0, at: symbol.address } })
        }
        Some(module) => {
            let symbol = world.modules.get(module)?.named(name).find(|s| !s.is_local())?;
            Some(Found { module: Some(module.clone()), spot: Spot { space: symbol.section()?, at: symbol.value } })
        }
    }
}

impl World<'_> {
    fn storage(&self, found: &Found) -> Option<Storage> {
        match &found.module {
            None => self.image.storage(found.spot.at),
            Some(module) => self.modules.get(module)?.storage(found.spot),
        }
    }
}

/// Every reason against the references of `object` to the undefined symbols `places`, by their names. `original` is what the kernel
/// was made of: what a `__ref` function of vmlinux refers to there it may refer to again.
pub fn refusals(
    object: &Object,
    original: &Object,
    places: &BTreeMap<String, Found>,
    world: &World<'_>,
) -> Vec<Refusal> {
    let mut found = Vec::new();
    let indirect = IndirectCalls::new(world.image, world.modules);
    let storages: HashMap<&str, Storage> =
        places.iter().filter_map(|(name, place)| Some((name.as_str(), world.storage(place)?))).collect();
    for (id, section) in object.sections.iter().enumerate() {
        let mut written: Option<BTreeMap<u64, Write>> = None;
        // Where the code reads the address from a table, the table's entry has the name.
        let to_tables = if section.is_text() { through_tables(object, section) } else { Vec::new() };
        for (at, name) in &to_tables {
            let known = places.get(name).and_then(|_| storages.get(name.as_str()));
            let Some(storage) = known.filter(|storage| storage.is_read_only()) else { continue };
            let all = written.get_or_insert_with(|| all_writes(object, original, id));
            found.extend(all.get(at).and_then(|write| write.refusal(section, name, *storage)));
        }
        for r in &section.relocs {
            let symbol = &object.symbols[r.symbol];
            let Some((place, storage)) = named(symbol, places).zip(storages.get(symbol.name.as_str())) else {
                continue;
            };
            if marks::is_boundary(&symbol.name) && place.module.is_none() {
                continue;
            }
            let user = user(object, id, r);
            if !object.arch.spans_modules(r.kind) {
                found.push(out_of_reach(&user, &section.name, super::pointers::plain(&symbol.name)));
                continue;
            }
            if storage.is_gone() {
                if place.module.is_none() && marks::names_from_ref(original, &user, &symbol.name) {
                    continue;
                }
                found.push(gone(&user, section.name.as_str(), &symbol.name, *storage));
            } else if *storage == Storage::Text && !object.arch.is_branch(section, r) {
                if special::row_of(&section.name).is_some() && !section.is_text() {
                    continue;
                }
                if marks::updates_static_call(object, &user, &symbol.name) {
                    continue;
                }
                let why = indirect.closed(place.module.as_deref(), place.spot);
                found.extend(why.map(|why| closed(&user, &section.name, super::pointers::plain(&symbol.name), why)));
            } else if storage.is_read_only() && section.is_text() {
                let all = written.get_or_insert_with(|| all_writes(object, original, id));
                found.extend(all.get(&r.offset).and_then(|write| write.refusal(section, &symbol.name, *storage)));
            }
        }
    }
    found.dedup();
    found
}

fn named<'p>(symbol: &Symbol, places: &'p BTreeMap<String, Found>) -> Option<&'p Found> {
    places.get(&symbol.name).filter(|_| symbol.is_undefined())
}

/// The function or datum around a relocation, else its section.
fn user(object: &Object, section: SecId, r: &Reloc) -> String {
    let is_around =
        |s: &&Symbol| s.section() == Some(section) && s.size > 0 && (s.value..s.value + s.size).contains(&r.offset);
    let around = object.symbols.iter().find(is_around);
    around.map_or_else(|| object.sections[section].name.clone(), |s| s.name.clone())
}

/// A write of a function.
struct Write {
    function: String,
    /// Offset in the function.
    at: u64,
    /// What the running function writes to.
    before: Rc<BTreeSet<String>>,
}

impl Write {
    fn refusal(&self, section: &Section, name: &str, storage: Storage) -> Option<Refusal> {
        let is_new = !self.before.contains(name);
        is_new.then(|| read_only_written(&self.function, &section.name, self.at, name, storage))
    }
}

/// The writes of a section's functions, by the offset of the relocation.
fn all_writes(object: &Object, original: &Object, section: SecId) -> BTreeMap<u64, Write> {
    let is_function = |s: &&Symbol| s.section() == Some(section) && s.kind == SymKind::Func && s.size > 0;
    // Under the name that the original has too.
    let is_function = |s: &&Symbol| is_function(s) && !s.name.starts_with("kmend.");
    let functions = object.symbols.iter().filter(is_function);
    let writes = functions.flat_map(|s| {
        let before = Rc::new(writes::names(original, &s.name));
        let all = writes::of(object, section, s.value..s.value + s.size).into_iter();
        all.map(move |(reloc, by)| {
            (reloc, Write { function: s.name.clone(), at: by - s.value.min(by), before: before.clone() })
        })
    });
    writes.collect()
}

/// References of code to entries of a table of addresses (the TOC of powerpc) that hold the address of an undefined symbol: offset of
/// the relocation, and that symbol's name.
fn through_tables(object: &Object, section: &Section) -> Vec<(u64, String)> {
    let entry = |r: &Reloc| {
        let symbol = &object.symbols[r.symbol];
        let table = &object.sections[symbol.section()?];
        let at = (symbol.value as i64).wrapping_add(r.addend);
        let at = u64::try_from(at).ok().filter(|_| object.arch.is_toc(&table.name))?;
        let named = &object.symbols[table.relocs_in(at..at + 1).first()?.symbol];
        named.is_undefined().then(|| (r.offset, named.name.clone()))
    };
    section.relocs.iter().filter_map(entry).collect()
}

fn gone(user: &str, section: &str, name: &str, storage: Storage) -> Refusal {
    Refusal::new(
        "refers-to-init",
        user,
        section,
        format!("it refers to {name}, which is in {storage}"),
        "leave this part of the fix out, or add a copy of what it needs",
    )
}

fn closed(user: &str, section: &str, name: &str, why: &str) -> Refusal {
    Refusal::new(
        "no-indirect-calls",
        user,
        section,
        format!("it takes the address of {name}(), which an indirect call cannot enter on a CPU with IBT: {why}"),
        "pass a new function that calls it",
    )
}
