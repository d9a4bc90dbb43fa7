// SPDX-License-Identifier: GPL-2.0-or-later
//! A shipped module (.ko) as something to prove against: it is not linked to its place yet, references
//! are relocations.

use super::shipped::{Leads, Named, Piece, Shipped, Spot};
use crate::arch::line::Line;
use crate::arch::{Arch, Field};
use crate::elf::lines::of_object;
use crate::elf::modinfo::modinfo;
use crate::elf::{zero_terminated, Object, Reloc, SymKind, SHF_ALLOC};
use std::borrow::Cow;

/// A module file.
pub struct Module {
    /// Its ELF.
    pub object: Object,
}

impl Module {
    /// The symbols of this name that the kernel would list for the module, in sympos order: those that it loads
    /// (kernel/module/kallsyms.c, is_core_symbol), and those of its start as long as that lasts.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a crate::elf::Symbol> {
        let is_loaded = |s: &crate::elf::Symbol| {
            s.section().is_some_and(|id| self.object.sections[id].flags & u64::from(SHF_ALLOC) != 0)
        };
        self.object.symbols.iter().filter(move |s| s.name == name && is_loaded(s))
    }

    /// The modules without which this one cannot be loaded.
    pub fn depends(&self) -> Vec<String> {
        let info = modinfo(&self.object);
        let all = info.iter().filter(|(n, _)| n == "depends").flat_map(|(_, v)| v.split(','));
        all.filter(|d| !d.is_empty()).map(|d| d.replace('-', "_")).collect()
    }

    /// sympos of the symbol `name` at `spot`: 0 where it is unique, else from 1. None where there is no such symbol, or where
    /// a namesake is gone once the module has started: positions change then.
    pub fn sympos(&self, name: &str, spot: Spot) -> Option<u64> {
        let starts =
            |s: &crate::elf::Symbol| s.section().is_some_and(|id| self.object.sections[id].name.starts_with(".init"));
        if self.named(name).count() > 1 && self.named(name).any(starts) {
            return None;
        }
        let all: Vec<Spot> = self.named(name).map(|s| Spot { space: s.section().unwrap_or(0), at: s.value }).collect();
        let position = all.iter().position(|&s| s == spot)?;
        Some(if all.len() == 1 { 0 } else { position as u64 + 1 })
    }
}

impl Shipped for Module {
    fn functions(&self, name: &str) -> Vec<Spot> {
        self.named(name)
            .filter(|s| s.kind == SymKind::Func)
            .filter_map(|s| Some(Spot { space: s.section()?, at: s.value }))
            .collect()
    }

    fn code(&self, piece: &Piece<'_>) -> Option<Cow<'_, [u8]>> {
        // Linked to be linked again: nothing was edited.
        self.bytes(piece.spot, piece.range.end.checked_sub(piece.range.start)?).map(Cow::Borrowed)
    }

    fn bytes(&self, at: Spot, len: u64) -> Option<&[u8]> {
        let section = self.object.sections.get(at.space)?;
        let end = at.at.checked_add(len)?;
        section.data.get(at.at as usize..end as usize)
    }

    fn table(&self, name: &str) -> Option<Vec<(Spot, u64)>> {
        let named = self.object.sections.iter().enumerate().filter(|(_, s)| s.name == name);
        Some(named.map(|(space, s)| (Spot { space, at: 0 }, s.data.len() as u64)).collect())
    }

    fn string(&self, at: Spot, unit: usize) -> Option<&[u8]> {
        let rest = self.object.sections.get(at.space)?.data.get(at.at as usize..)?;
        let string = zero_terminated(rest, unit);
        (rest.len() >= string.len() + unit).then_some(string)
    }

    fn is_plain(&self, at: Spot, len: u64) -> bool {
        let Some(section) = self.object.sections.get(at.space) else { return false };
        // A reference may begin up to 7 bytes before.
        let near = section.relocs_in(at.at.saturating_sub(7)..at.at.saturating_add(len));
        !near.iter().any(|r| {
            let bytes = self.object.arch.field(r.kind).map_or(8, Field::bytes) as u64;
            bytes > 0 && r.offset + bytes > at.at
        })
    }

    fn follow(&self, piece: &Piece<'_>, reloc: &Reloc, _field: Field) -> Leads {
        let (at, kind, addend) = (piece.place(reloc.offset), reloc.kind, reloc.addend);
        let section = &self.object.sections[at.space];
        let Some(r) = section.relocs_in(at.at..at.at + 1).iter().find(|r| r.kind != 0) else {
            return Leads::Nowhere("the shipped code has no reference here".into());
        };
        if !self.object.arch.same_reloc(r.kind, kind) {
            let name = |k| self.object.arch.reloc_name(k);
            return Leads::Nowhere(format!(
                "the shipped reference is {}, the rebuilt one {}",
                name(r.kind),
                name(kind)
            ));
        }
        let symbol = &self.object.symbols[r.symbol];
        match symbol.section() {
            Some(space) => Leads::Place(Spot {
                space,
                at: symbol.value.wrapping_add_signed(r.addend).wrapping_add_signed(-addend),
            }),
            None if r.addend == addend => Leads::Undefined(symbol.name.clone()),
            None => Leads::Nowhere(format!(
                "the shipped reference to {} has addend {:#x} instead of {addend:#x}",
                symbol.name, r.addend
            )),
        }
    }

    fn is_named(&self, name: &str, at: Spot) -> Named {
        Named::of(self.named(name).map(|symbol| symbol.section() == Some(at.space) && symbol.value == at.at))
    }

    fn describe(&self, at: Spot) -> String {
        let best = self
            .object
            .symbols
            .iter()
            .filter(|s| s.section() == Some(at.space) && s.value <= at.at && !s.name.is_empty())
            .max_by_key(|s| s.value);
        match best {
            Some(symbol) => format!("{}+{:#x}", symbol.name, at.at - symbol.value),
            None => format!("{}+{:#x}", self.object.sections.get(at.space).map_or("?", |s| &s.name), at.at),
        }
    }

    fn lines(&self, _arch: &dyn Arch, at: Spot, len: u64) -> Vec<Line> {
        match self.object.sections.get(at.space) {
            Some(_) => of_object(&self.object, at.space, at.at..at.at.saturating_add(len)),
            None => Vec::new(),
        }
    }
}
