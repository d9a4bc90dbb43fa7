// SPDX-License-Identifier: GPL-2.0-or-later
//! A finished module as its references are once it is loaded: an object in; out, for each place, what relocations there
//! lead to, livepatch relocations among them, and which bytes have been accounted for.

use crate::arch::Field;
use crate::elf::{Object, Place, Reloc, SecId, SymId, SHF_RELA_LIVEPATCH, SHT_NOBITS};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Where a reference of the module leads. Places are offsets in a section, where the reference really leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// To a place in the module.
    Here(SecId, i64),
    /// To what the loader or livepatch finds under this symbol, and so many bytes behind it.
    Outside(SymId, i64),
    /// To no symbol: a number.
    Number(i64),
}

/// A module.
pub struct Finished<'o> {
    /// Its ELF.
    pub object: &'o Object,
    /// All relocations by section, those of livepatch among them, in order.
    relocs: Vec<Vec<Reloc>>,
    /// Ranges that are accounted for, by section: start → end.
    known: Vec<BTreeMap<u64, u64>>,
    /// Symbols by section and value.
    symbols: HashMap<(SecId, u64), Vec<SymId>>,
}

impl<'o> Finished<'o> {
    /// Reads what relocations there are.
    ///
    /// # Errors
    /// Livepatch relocations for a section that does not exist.
    pub fn new(object: &'o Object) -> Result<Self, String> {
        let mut relocs: Vec<Vec<Reloc>> = vec![Vec::new(); object.sections.len()];
        for (id, section) in object.sections.iter().enumerate() {
            let late = section.flags & SHF_RELA_LIVEPATCH != 0;
            let home = if late { section.info as usize } else { id };
            let into = relocs.get_mut(home).filter(|_| home != 0 || section.relocs.is_empty());
            let into = into.ok_or_else(|| format!("{} is for a section that does not exist", section.name))?;
            into.extend(section.relocs.iter().filter(|r| object.arch.field(r.kind) != Some(Field::None)));
        }
        relocs.iter_mut().for_each(|all| all.sort_by_key(|r| r.offset));
        let mut symbols: HashMap<(SecId, u64), Vec<SymId>> = HashMap::new();
        for (id, symbol) in object.symbols.iter().enumerate() {
            if let Some(home) = symbol.section().filter(|_| !symbol.name.is_empty()) {
                symbols.entry((home, symbol.value)).or_default().push(id);
            }
        }
        Ok(Self { object, relocs, known: vec![BTreeMap::new(); object.sections.len()], symbols })
    }

    /// The relocations in a range of a section.
    pub fn relocs_in(&self, section: SecId, range: Range<u64>) -> &[Reloc] {
        let all = &self.relocs[section];
        let from = all.partition_point(|r| r.offset < range.start);
        let to = all.partition_point(|r| r.offset < range.end);
        &all[from.min(to)..to]
    }

    /// The named symbols at a place.
    pub fn symbols_at(&self, section: SecId, at: u64) -> &[SymId] {
        self.symbols.get(&(section, at)).map_or(&[], Vec::as_slice)
    }

    /// Where `reloc` leads, whose place is `bias` beyond symbol and addend ([`Arch::bias`](crate::arch::Arch::bias)).
    ///
    /// # Errors
    /// A symbol without a place.
    pub fn lead(&self, reloc: &Reloc, bias: i64) -> Result<Lead, String> {
        let symbol = &self.object.symbols[reloc.symbol];
        let by = reloc.addend.wrapping_add(bias).wrapping_add(self.object.arch.entered(reloc.kind, symbol));
        match symbol.place {
            _ if reloc.symbol == 0 => Ok(Lead::Number(reloc.addend)),
            Place::In(home) => Ok(Lead::Here(home, (symbol.value as i64).wrapping_add(by))),
            Place::Undefined | Place::Livepatch => Ok(Lead::Outside(reloc.symbol, by)),
            Place::Absolute | Place::Common => Err(format!("{} has no place in a section", symbol.name)),
        }
    }

    /// `len` bytes at a place; zeroes where the section has none. None outside of the section.
    pub fn bytes(&self, section: SecId, at: u64, len: u64) -> Option<Vec<u8>> {
        let home = self.object.sections.get(section)?;
        let end = at.checked_add(len).filter(|&end| end <= home.size)?;
        match home.kind {
            SHT_NOBITS => Some(vec![0; len as usize]),
            _ => home.data.get(at as usize..end as usize).map(<[u8]>::to_vec),
        }
    }

    /// Notes that a range is accounted for.
    pub fn account(&mut self, section: SecId, range: Range<u64>) {
        if !range.is_empty() {
            let end = self.known[section].entry(range.start).or_default();
            *end = range.end.max(*end);
        }
    }

    /// What of a section is not accounted for.
    pub fn left(&self, section: SecId) -> Vec<Range<u64>> {
        let size = self.object.sections[section].size;
        let (mut at, mut left) = (0, Vec::new());
        for (&start, &end) in &self.known[section] {
            if start > at {
                left.push(at..start.min(size));
            }
            at = at.max(end);
        }
        if at < size {
            left.push(at..size);
        }
        left
    }

    /// True where a place is accounted for.
    pub fn is_known(&self, section: SecId, at: u64) -> bool {
        // Strings may overlap, other pieces do not: a few before are enough.
        self.known[section].range(..=at).rev().take(8).any(|(_, &end)| end > at)
    }

    /// A place in words.
    pub fn describe(&self, section: SecId, at: i64) -> String {
        let name = self.object.sections.get(section).map_or("?", |s| s.name.as_str());
        let named =
            |s: &&crate::elf::Symbol| s.section() == Some(section) && !s.name.is_empty() && s.value as i64 <= at;
        let best = self.object.symbols.iter().filter(named).max_by_key(|s| s.value);
        let inside = best.filter(|s| at < (s.value + s.size.max(1)) as i64);
        match inside {
            Some(s) => format!("{}+{:#x} in the module", s.name, at - s.value as i64),
            None => format!("{name}+{at:#x} in the module"),
        }
    }
}
