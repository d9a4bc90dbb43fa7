// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage post-link: turns the relocations on stand-in symbols of a linked module into livepatch relocations
//! (Documentation/livepatch/module-elf-format.rst). Linkers cannot process them, so this is done last.

use crate::elf::read::{read, Take};
use crate::elf::*;
use crate::manifest::Manifest;
use crate::resolve::{KlpSymbol, TOMBSTONE};
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::manifest::NOTE_SECTION;
use std::collections::{BTreeMap, HashMap};

/// A finished live patch module, but for its manifest.
#[derive(Clone, Debug)]
pub struct Livepatch {
    object: Object,
    /// Livepatch relocations in it.
    pub relocations: usize,
}

impl Livepatch {
    /// The .ko file, the manifest in it.
    ///
    /// # Errors
    /// A module that cannot be written.
    pub fn with_manifest(mut self, manifest: &Manifest) -> Result<Vec<u8>> {
        self.object.sections.push(manifest.to_section()?);
        write::write(&self.object)
    }
}

/// Makes the livepatch sections of a linked module.
///
/// # Errors
/// A stand-in that `klp` does not know, or a module that cannot be read or written.
pub fn post_link(ko: &[u8], klp: &BTreeMap<String, KlpSymbol>) -> Result<Livepatch> {
    let mut object = read(ko, Take::NoDebug).context("the linked module")?;
    if let Some(section) = object.sections.iter().find(|s| s.name.starts_with(".klp.") || s.name == NOTE_SECTION) {
        bail!("the linked module already has a section {}", section.name);
    }
    fold_entry_symbols(&mut object);

    let mut meaning: HashMap<SymId, &KlpSymbol> = HashMap::new();
    for (id, symbol) in object.symbols.iter().enumerate() {
        let known = klp.get(&symbol.name);
        if known.is_some() || symbol.name.starts_with(TOMBSTONE) {
            let known = known.with_context(|| format!("no symbol of the kernel is known for {}", symbol.name))?;
            ensure!(symbol.is_undefined(), "symbol {} is defined", symbol.name);
            meaning.insert(id, known);
        }
    }
    // Section of the live patch's livepatch relocations, by (klp object, section that they apply to).
    let mut made: BTreeMap<(String, SecId), Vec<Reloc>> = BTreeMap::new();
    for (id, section) in object.sections.iter_mut().enumerate() {
        let relocs = std::mem::take(&mut section.relocs);
        let (late, plain): (Vec<Reloc>, Vec<Reloc>) = relocs.into_iter().partition(|r| meaning.contains_key(&r.symbol));
        section.relocs = plain;
        for r in late {
            let needs = meaning[&r.symbol].needs.clone().unwrap_or_else(|| "vmlinux".into());
            made.entry((needs, id)).or_default().push(r);
        }
    }
    let relocations = made.values().map(Vec::len).sum();
    let mut used = vec![false; object.symbols.len()];
    for ((needs, target), relocs) in made {
        relocs.iter().for_each(|r| used[r.symbol] = true);
        object.sections.push(Section {
            name: format!(".klp.rela.{needs}.{}", object.sections[target].name),
            kind: SHT_RELA,
            flags: u64::from(SHF_ALLOC | SHF_INFO_LINK) | SHF_RELA_LIVEPATCH,
            align: 8,
            entsize: 24,
            info: target as u32,
            size: relocs.len() as u64 * 24,
            relocs,
            ..Section::default()
        });
    }
    for (&id, known) in &meaning {
        let symbol = &mut object.symbols[id];
        symbol.name = known.elf_name();
        symbol.place = Place::Livepatch;
        symbol.bind = Bind::Global;
    }
    let drop: Vec<SymId> = meaning.keys().copied().filter(|&id| !used[id]).collect();
    remove_symbols(&mut object, &drop);
    Ok(Livepatch { object, relocations })
}

/// The entry symbols (`kmend.…`) have done their work once the module is linked: what refers to one refers
/// to the function's own symbol from now on.
fn fold_entry_symbols(object: &mut Object) {
    let mut own: HashMap<(SecId, u64), SymId> = HashMap::new();
    for (id, s) in object.symbols.iter().enumerate() {
        if let (SymKind::Func, Some(section), false) = (s.kind, s.section(), s.name.starts_with("kmend.")) {
            own.entry((section, s.value)).or_insert(id);
        }
    }
    let mut to: HashMap<SymId, SymId> = HashMap::new();
    for (id, s) in object.symbols.iter().enumerate().filter(|(_, s)| s.name.starts_with("kmend.")) {
        if let Some(&target) = s.section().and_then(|section| own.get(&(section, s.value))) {
            to.insert(id, target);
        }
    }
    for r in object.sections.iter_mut().flat_map(|s| &mut s.relocs) {
        if let Some(&target) = to.get(&r.symbol) {
            r.symbol = target;
        }
    }
    let drop: Vec<SymId> = to.into_keys().collect();
    remove_symbols(object, &drop);
}

/// Removes symbols that nothing refers to and renumbers the rest.
fn remove_symbols(object: &mut Object, drop: &[SymId]) {
    let mut gone = vec![false; object.symbols.len()];
    drop.iter().for_each(|&id| gone[id] = true);
    let mut new_id = vec![0; gone.len()];
    let mut next = 0;
    for (id, gone) in gone.iter().enumerate() {
        new_id[id] = next;
        next += usize::from(!gone);
    }
    let mut id = 0;
    object.symbols.retain(|_| {
        id += 1;
        !gone[id - 1]
    });
    for r in object.sections.iter_mut().flat_map(|s| &mut s.relocs) {
        r.symbol = new_id[r.symbol];
    }
}
