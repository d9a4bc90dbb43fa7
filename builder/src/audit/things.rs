// SPDX-License-Identifier: GPL-2.0-or-later
//! What a patched object is made of: its sections and symbols in; out, the things in it (functions, data, bytes without
//! a name, pieces that are apart from their code) and what each relocation names.

use super::per_place;
use super::statics::Statics;
use crate::arch::Field;
use crate::elf::{Object, Reloc, SecId, Section, SymId, SymKind, SHT_NOTE};
use crate::section_table::PATCHABLE_ENTRIES;
use crate::special::layout::Layouts;
use crate::special::storage::Storage;
use crate::special::{self, Entry, Fate};
use std::collections::HashMap;
use std::ops::Range;

/// Index of a thing in [`Things::all`].
pub type ThingId = usize;

/// What a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function, or its cold part.
    Code,
    /// A named datum.
    Datum,
    /// Bytes without a name: switch tables, constants of the compiler.
    Nameless,
    /// An entry of a table of addresses (the TOC of powerpc).
    Slot,
    /// Code or data that a special section refers to: a replacement of alternatives, a fixup.
    Aside,
}

/// A piece of a section that has to be in the module as a whole.
#[derive(Clone, Debug)]
pub struct Thing {
    /// What it is.
    pub kind: Kind,
    /// The section.
    pub section: SecId,
    /// Its bytes there; for a function with the padding before its entry.
    pub range: Range<u64>,
    /// Where its symbol is: a function's entry.
    pub anchor: u64,
    /// All its symbols, those at the anchor first.
    pub symbols: Vec<SymId>,
}

/// A place in the bytes of a piece that refers to something.
#[derive(Clone, Debug)]
pub struct Use {
    /// Offset in the section.
    pub offset: u64,
    /// Relocation type.
    pub kind: u32,
    /// True where code calls or jumps there.
    pub branch: bool,
    /// What it names.
    pub names: Named,
    /// How far the place that it leads to is beyond symbol and addend ([`Arch::bias`](crate::arch::Arch::bias)).
    pub bias: i64,
}

/// What a relocation of a patched object names. Places are offsets in a section, where the reference really leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A symbol of another unit, and so many bytes behind it.
    Outside(SymId, i64),
    /// A place in a thing, or before or behind it; the symbol where the object names one.
    Thing(ThingId, Option<SymId>, i64),
    /// A place where one thing ends and another begins: the object does not tell which of the two is meant.
    Either(Vec<ThingId>, i64),
    /// A place in a section of strings, counted from the string that holds the first place.
    Text(SecId, i64, i64),
    /// A place in a section that holds nothing.
    Nothing(SecId),
    /// No symbol: a number.
    Number(i64),
}

/// An object with its things.
pub struct Things<'o> {
    /// The object.
    pub object: &'o Object,
    /// All things.
    pub all: Vec<Thing>,
    /// Entries of special sections, by the thing whose code they are about.
    pub entries: HashMap<ThingId, Vec<Entry>>,
    /// Special sections that could not be cut into entries, and why.
    pub uncut: Vec<(SecId, String)>,
    by_section: Vec<Vec<ThingId>>,
    by_symbol: HashMap<SymId, ThingId>,
    statics: &'o Statics,
}

/// Bytes of an entry of a table of addresses.
const SLOT: u64 = 8;
/// Bytes of the largest number or pointer.
const WORD: u64 = 8;

impl<'o> Things<'o> {
    /// Finds the things of `object`; `layouts` has the sizes of the structs in special sections, `statics` what is known of its
    /// variables.
    pub fn new(object: &'o Object, layouts: &Layouts, statics: &'o Statics) -> Self {
        let mut symbols: Vec<Vec<SymId>> = vec![Vec::new(); object.sections.len()];
        for (id, symbol) in object.symbols.iter().enumerate() {
            if let Some(home) = symbol.section() {
                symbols[home].push(id);
            }
        }
        let mut things = Self {
            object,
            all: Vec::new(),
            entries: HashMap::new(),
            uncut: Vec::new(),
            by_section: vec![Vec::new(); object.sections.len()],
            by_symbol: HashMap::new(),
            statics,
        };
        let mut tables = Vec::new();
        for (id, section) in object.sections.iter().enumerate() {
            if !section.is_alloc() && special::row_of(&section.name).is_none()
                || section.kind == SHT_NOTE
                || section.is_strings()
            {
                continue;
            }
            match special::row_of(&section.name) {
                _ if object.arch.is_toc(&section.name) => {
                    for at in (0..section.size).step_by(SLOT as usize) {
                        things.add(Kind::Slot, id, at..section.size.min(at + SLOT), at, Vec::new());
                    }
                }
                None => things.cut(id, &symbols[id]),
                Some(row) if matches!(row.fate, Fate::Keep | Fate::Referenced) => tables.push((id, row.fate)),
                Some(_) => {}
            }
        }
        let mut cut = Vec::new();
        for (id, fate) in tables {
            match special::entries(object, id, layouts, &mut Vec::new()) {
                Ok(found) if fate == Fate::Keep => cut.push((id, found)),
                Ok(found) => found.into_iter().for_each(|e| {
                    let start = e.range.start;
                    things.add(Kind::Aside, id, e.range, start, Vec::new());
                }),
                Err(refusal) => things.uncut.push((id, refusal.reason)),
            }
        }
        for (id, entries) in cut {
            for entry in entries {
                things.assign(id, entry);
            }
        }
        things
    }

    /// Notes an entry of a special section with the thing whose code it is about.
    fn assign(&mut self, id: SecId, entry: Entry) {
        let section = &self.object.sections[id];
        let code = special::row_of(&section.name).and_then(|row| row.code_of(section, &entry));
        let Some(code) = code else { return };
        let beyond = self.object.arch.bias(section, entry.range.clone(), code);
        match self.names(code, beyond) {
            Named::Thing(thing, ..) => self.entries.entry(thing).or_default().push(entry),
            // Where a function ends and another begins, the one that begins is meant.
            Named::Either(all, at) => {
                if let Some(&thing) = all.iter().find(|&&t| self.all[t].range.start as i64 == at) {
                    self.entries.entry(thing).or_default().push(entry);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, kind: Kind, section: SecId, range: Range<u64>, anchor: u64, symbols: Vec<SymId>) {
        for &symbol in &symbols {
            self.by_symbol.insert(symbol, self.all.len());
        }
        self.by_section[section].push(self.all.len());
        self.all.push(Thing { kind, section, range, anchor, symbols });
    }

    /// Cuts a section by the sizes of its symbols; what is between them has no name.
    fn cut(&mut self, id: SecId, symbols: &[SymId]) {
        let section = &self.object.sections[id];
        let text = section.is_text();
        let names_something = |&s: &SymId| {
            let symbol = &self.object.symbols[s];
            let kind = match symbol.kind {
                SymKind::Func => text,
                SymKind::Data => !text,
                SymKind::None => true,
                _ => false,
            };
            // Structs may be empty (`struct lock_class_key`).
            let sized = symbol.size > 0 || section.size == 0 && symbol.kind == SymKind::Data;
            kind && sized && !symbol.name.is_empty() && !symbol.name.starts_with(PREFIX)
        };
        let mut named: Vec<SymId> = symbols.iter().copied().filter(names_something).collect();
        named.sort_by_key(|&s| (self.object.symbols[s].value, s));
        let mut groups: Vec<(Range<u64>, Vec<SymId>)> = Vec::new();
        for s in named {
            let symbol = &self.object.symbols[s];
            let end = symbol.value + symbol.size;
            match groups.last_mut() {
                Some((range, all)) if symbol.value < range.end || symbol.value == range.start => {
                    range.end = range.end.max(end);
                    all.push(s);
                }
                _ => groups.push((symbol.value..end, vec![s])),
            }
        }
        let alone = groups.len() == 1;
        let mut at = 0;
        for (range, symbols) in groups {
            let anchor = range.start;
            let (start, end) = match text {
                true if alone => (0, section.size),
                true => (self.lead_in(id, at, anchor), range.end),
                false => (anchor, range.end),
            };
            self.gap(id, at..start);
            self.add(if text { Kind::Code } else { Kind::Datum }, id, start..end, anchor, symbols);
            at = end;
        }
        self.gap(id, at..section.size);
    }

    /// Bytes between named things, but for padding between functions.
    fn gap(&mut self, id: SecId, range: Range<u64>) {
        let section = &self.object.sections[id];
        let zero =
            || section.bytes(range.clone()).iter().all(|&b| b == 0) && section.relocs_in(range.clone()).is_empty();
        let filler = match section.is_text() {
            true => self.object.arch.is_padding(section, range.clone()),
            false => {
                !self.by_section[id].is_empty() && range.end - range.start.min(range.end) < section.align && zero()
            }
        };
        if !range.is_empty() && !filler {
            let start = range.start;
            self.add(Kind::Nameless, id, range, start, Vec::new());
        }
    }

    /// Where a function begins that shares its section with others: at call padding, which a list or a symbol tells
    /// of, or at the distance to the TOC in front of it.
    fn lead_in(&self, id: SecId, from: u64, entry: u64) -> u64 {
        let section = &self.object.sections[id];
        let lists = self.object.sections.iter().filter(|s| s.name == PATCHABLE_ENTRIES);
        let listed = lists.flat_map(|s| &s.relocs).filter_map(|r| {
            let symbol = &self.object.symbols[r.symbol];
            (symbol.section() == Some(id)).then(|| symbol.value.wrapping_add_signed(r.addend))
        });
        let prefixes = self.object.symbols.iter().filter(|s| s.section() == Some(id) && s.name.starts_with(PREFIX));
        let all = listed.chain(prefixes.map(|s| s.value)).filter(|at| (from..entry).contains(at));
        let lead = entry.saturating_sub(self.object.arch.lead_in(section, entry));
        all.chain([lead.max(from)]).min().unwrap_or(entry)
    }

    /// True for a writable section of nothing but constants: those that hold addresses are relocated before they are read-only,
    /// or stay where compilers put nothing else without a name.
    pub fn holds_constants(&self, section: SecId) -> bool {
        let home = &self.object.sections[section];
        let is_nameless = |id: &ThingId| self.all[*id].kind == Kind::Nameless;
        Storage::of(home) == Storage::ReadOnly
            || self.object.arch.is_constant_pool(&home.name) && self.by_section[section].iter().all(is_nameless)
    }

    /// The section of a thing.
    pub fn section(&self, thing: ThingId) -> &'o Section {
        &self.object.sections[self.all[thing].section]
    }

    /// The name of a thing: that of its first symbol, else its section and place.
    pub fn name(&self, thing: ThingId) -> String {
        let it = &self.all[thing];
        match it.symbols.first() {
            Some(&s) => self.object.symbols[s].name.clone(),
            None => format!("{}+{:#x}", self.object.sections[it.section].name, it.range.start),
        }
    }

    /// The thing that a symbol names.
    pub fn of_symbol(&self, symbol: SymId) -> Option<ThingId> {
        self.by_symbol.get(&symbol).copied()
    }

    /// What `reloc` names, which leads `beyond` its symbol and addend.
    pub fn names(&self, reloc: &Reloc, beyond: i64) -> Named {
        let symbol = &self.object.symbols[reloc.symbol];
        let Some(home) = symbol.section() else {
            return match reloc.symbol {
                0 => Named::Number(reloc.addend),
                id => Named::Outside(id, reloc.addend.wrapping_add(beyond)),
            };
        };
        let at = (symbol.value as i64).wrapping_add(reloc.addend).wrapping_add(beyond);
        if self.object.sections[home].is_strings() && symbol.kind != SymKind::Section {
            // The label names the string, and the place may be its end, where another begins.
            return Named::Text(home, symbol.value as i64, at);
        }
        match self.of_symbol(reloc.symbol) {
            Some(thing) => Named::Thing(thing, Some(reloc.symbol), at),
            None => self.at(home, at),
        }
    }

    /// What is at a place in a section.
    pub fn at(&self, home: SecId, at: i64) -> Named {
        let section = &self.object.sections[home];
        if section.is_strings() {
            return Named::Text(home, at, at);
        }
        let all = self.by_section[home].as_slice();
        let (Some(&first), Some(&last)) = (all.first(), all.last()) else { return Named::Nothing(home) };
        if all.len() == 1 {
            return Named::Thing(first, None, at);
        }
        let start = |id: &ThingId| self.all[*id].range.start as i64;
        let end = |id: &ThingId| self.all[*id].range.end as i64;
        let after = all.partition_point(|id| start(id) <= at);
        let Some(here) = after.checked_sub(1).map(|n| &all[n]) else { return Named::Thing(first, None, at) };
        if at < end(here) {
            // Right at its start another may end.
            let before = (start(here) == at && after >= 2).then(|| all[after - 2]).filter(|b| end(b) == at);
            return match before.filter(|&b| self.may_be_walked(b)) {
                Some(before) => Named::Either(vec![*here, before], at),
                None => Named::Thing(*here, None, at),
            };
        }
        match all.get(after) {
            Some(_) if section.is_text() => Named::Thing(*here, None, at),
            Some(&next) if self.may_be_walked(*here) => Named::Either(vec![*here, next], at),
            Some(&next) => Named::Thing(next, None, at),
            None => Named::Thing(last, None, at),
        }
    }

    /// True for what code may take the end of: arrays and structs. A number of eight bytes is none; where no debug information
    /// says what it is, neither is anything smaller.
    fn may_be_walked(&self, thing: ThingId) -> bool {
        let Thing { kind, range, symbols, .. } = &self.all[thing];
        let len = range.end - range.start;
        // One each for a place in the code.
        let section = &self.object.sections[self.all[thing].section].name;
        if symbols.iter().any(|&s| per_place::is_of_one_place(&self.object.symbols[s].name, section)) {
            return false;
        }
        let declared = symbols.first().and_then(|&s| self.statics.get(&self.object.symbols[s].name));
        match kind {
            Kind::Datum => declared.map_or(len > WORD, |d| !d.scalar && len > 1),
            Kind::Nameless => len > WORD,
            Kind::Code | Kind::Slot | Kind::Aside => false,
        }
    }

    /// How far a field is from the start of its table, where it holds the distance from there to a function's entry
    /// (`.long f - table`); 0 for all others.
    fn way_from_table(&self, home: &Section, table: &Range<u64>, r: &Reloc) -> i64 {
        let symbol = &self.object.symbols[r.symbol];
        let relative = matches!(self.object.arch.field(r.kind), Some(Field::Relative { .. }));
        let way = r.offset.saturating_sub(table.start) as i64;
        if home.is_text() || !relative || way == 0 || special::row_of(&home.name).is_some() {
            return 0;
        }
        let leads_there = match symbol.section() {
            None => r.symbol != 0 && r.addend == way,
            Some(section) => {
                let entry = (symbol.value as i64).wrapping_add(r.addend).wrapping_sub(way);
                let is_it = |id: &ThingId| self.all[*id].kind == Kind::Code && self.all[*id].anchor as i64 == entry;
                self.by_section[section].iter().any(is_it)
            }
        };
        if leads_there {
            way
        } else {
            0
        }
    }

    /// The places of a piece of a section that refer to something, in order.
    ///
    /// # Errors
    /// A relocation that is not known, or code that cannot be decoded; in words.
    pub fn uses(&self, section: SecId, range: Range<u64>) -> Result<Vec<Use>, String> {
        let object = self.object;
        let home = &object.sections[section];
        let biases = if home.is_text() { object.arch.biases(home, range.clone()) } else { Vec::new() };
        let mut found = Vec::new();
        for (n, r) in home.relocs_in(range.clone()).iter().enumerate() {
            let Some(field) = object.arch.field(r.kind) else {
                return Err(format!("relocation {} at {:#x} is not known", object.arch.reloc_name(r.kind), r.offset));
            };
            if field == Field::None {
                continue;
            }
            let bias = match biases.get(n) {
                Some(&(offset, bias)) if offset == r.offset => bias,
                _ => object.arch.bias(home, range.clone(), r),
            };
            let bias = bias - self.way_from_table(home, &range, r);
            let empty = object.arch.names_nothing(home, range.clone(), r);
            let entered = object.arch.entered(r.kind, &object.symbols[r.symbol]);
            let names = match object.symbols[r.symbol].section().filter(|_| empty) {
                Some(nothing) => Named::Nothing(nothing),
                None => self.names(r, bias + entered),
            };
            let branch = home.is_text() && object.arch.branch_at(home, r).is_some();
            found.push(Use { offset: r.offset, kind: r.kind, branch, names, bias });
        }
        // Within a section the assembler resolves branches between functions itself.
        if home.is_text() && self.by_section[section].len() > 1 {
            let branches = object.arch.local_branches(home, range).ok_or("its code cannot be decoded")?;
            for b in branches {
                if b.width != 4 {
                    return Err(format!("its branch at {:#x} leaves it and is too short to be relocated", b.field));
                }
                let kind = object.arch.call_reloc();
                let bias = -object.arch.branch_addend(0);
                let names = self.at(section, b.target as i64);
                found.push(Use { offset: b.field, kind, branch: true, names, bias });
            }
            found.sort_by_key(|u| u.offset);
        }
        Ok(found)
    }
}

/// How objtool names the padding before a function.
pub const PREFIX: &str = "__pfx_";

/// The string at `start` of a section of strings, its end included; empty where none ends there. Units of the section's
/// entry size: kernels have strings of two bytes a letter.
pub fn text_at(section: &Section, start: u64) -> &[u8] {
    let unit = section.entsize.clamp(1, 8) as usize;
    let rest = section.data.get(start as usize..).unwrap_or(&[]);
    let letters = rest.chunks_exact(unit).position(|letter| letter.iter().all(|&b| b == 0));
    letters.map_or(&[], |n| &rest[..(n + 1) * unit])
}

/// Where the string begins that `at` belongs to.
pub fn text_start(section: &Section, at: u64) -> u64 {
    let unit = section.entsize.clamp(1, 8);
    let mut start = (at / unit).min(section.data.len() as u64 / unit) * unit;
    while start >= unit {
        let before = section.bytes(start - unit..start);
        if before.iter().all(|&b| b == 0) {
            break;
        }
        start -= unit;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{SHF_ALLOC, SHF_MERGE, SHF_STRINGS};

    #[test]
    fn strings_of_wide_letters_are_whole() {
        let data = b"a\0b\0\0\0c\0\0\0".to_vec();
        let flags = u64::from(SHF_ALLOC | SHF_MERGE | SHF_STRINGS);
        let wide = Section { size: 10, entsize: 2, flags, data, ..Section::default() };
        assert_eq!(text_at(&wide, 0), b"a\0b\0\0\0");
        assert_eq!(text_at(&wide, 2), b"b\0\0\0");
        assert_eq!(text_start(&wide, 2), 0);
        assert_eq!(text_start(&wide, 8), 6);
        let narrow = Section { entsize: 1, ..wide };
        assert_eq!(text_at(&narrow, 0), b"a\0");
        assert_eq!(text_at(&narrow, 10), b"");
        assert_eq!(text_start(&narrow, 100), 10);
    }
}
