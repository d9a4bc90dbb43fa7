// SPDX-License-Identifier: GPL-2.0-or-later
//! What the running kernel has where the payload's references lead: a payload and the places of its undefined symbols in,
//! refusals out. Memory that is gone may not be referred to, memory that is read-only may not be written, and an indirect call
//! may only enter functions that begin with ENDBR.

use super::{KlpSymbol, World};
use crate::diff::storage::read_only_written;
use crate::elf::{Object, Reloc, SecId, SymKind, Symbol};
use crate::error::Refusal;
use crate::image::indirect::IndirectCalls;
use crate::image::shipped::Spot;
use crate::special::storage::Storage;
use crate::special::{self, marks};
use std::collections::{BTreeMap, HashMap};

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
        let mut writes: Option<HashMap<u64, (u64, String)>> = None;
        for r in &section.relocs {
            let symbol = &object.symbols[r.symbol];
            let Some((place, storage)) = named(symbol, places).zip(storages.get(symbol.name.as_str())) else {
                continue;
            };
            if marks::is_boundary(&symbol.name) && place.module.is_none() {
                continue;
            }
            let user = user(object, id, r);
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
                let all = writes.get_or_insert_with(|| all_writes(object, id));
                if let Some((at, function)) = all.get(&r.offset) {
                    found.push(read_only_written(function, &section.name, *at, &symbol.name, *storage));
                }
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

/// The writes of a section's functions: offset of the relocation, offset in the function, and its name.
fn all_writes(object: &Object, section: SecId) -> HashMap<u64, (u64, String)> {
    let is_function = |s: &&Symbol| s.section() == Some(section) && s.kind == SymKind::Func && s.size > 0;
    let functions = object.symbols.iter().filter(is_function);
    let writes = functions.flat_map(|s| {
        let all = object.arch.accesses(&object.sections[section], s.value..s.value + s.size).into_iter();
        all.filter(|(_, access)| access.writes()).map(|(at, _)| (at, (at - s.value, s.name.clone())))
    });
    writes.collect()
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
