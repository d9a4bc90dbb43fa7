// SPDX-License-Identifier: GPL-2.0-or-later
//! An object seen as items: functions, data, strings, constants, each with what it refers to.

use super::{constants, names};
use crate::arch::Field;
use crate::elf::*;
use crate::section_table::PATCHABLE_ENTRIES;
use crate::special::storage::Storage;
use crate::special::{self, Fate};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

/// Index of an item in [`View::items`].
pub type ItemId = usize;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A function (or its `.cold` part).
    Function,
    /// A named datum.
    Data,
    /// Bytes without a name: switch tables, compiler constants, padding.
    Anonymous,
}

/// A piece of a section that is compared and extracted as a whole.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Its name; for anonymous items that of the section.
    pub name: String,
    /// The section it is in.
    pub section: SecId,
    /// Its bytes there, call padding before a function's entry included.
    pub range: Range<u64>,
    /// Where the symbol is (the entry of a function), offset in the section.
    pub anchor: u64,
    /// All symbols at the anchor; empty for anonymous items.
    pub symbols: Vec<SymId>,
    /// Branches to other items of the same section that the assembler resolved: as relocations.
    pub branches: Vec<Reloc>,
    /// True where such a branch is too short to be relocated, or the code cannot be decoded.
    pub stuck: bool,
}

impl Item {
    /// True where one of its symbols is visible outside of the file.
    pub fn is_global(&self, object: &Object) -> bool {
        self.symbols.iter().any(|&s| !object.symbols[s].is_local())
    }

    /// Data that each build of its place in the code has for itself.
    pub fn is_own_copy(&self, object: &Object) -> bool {
        match self.kind {
            ItemKind::Function => false,
            ItemKind::Anonymous => true,
            ItemKind::Data => names::is_own_copy(&self.name, &object.sections[self.section].name),
        }
    }
}

/// What a relocation refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ref {
    /// A symbol that this file does not define.
    External {
        /// The symbol.
        symbol: SymId,
        /// Addend, as in the relocation.
        addend: i64,
    },
    /// An item of this file.
    Item {
        /// The item.
        item: ItemId,
        /// Addend relative to the item's anchor, as a relocation on its symbol would have it.
        addend: i64,
    },
    /// A string in a mergeable section.
    String {
        /// The section.
        section: SecId,
        /// Where the string begins.
        start: u64,
        /// Addend relative to the string's start.
        addend: i64,
    },
    /// An entry of a special section.
    Special {
        /// The section.
        section: SecId,
        /// The place in it.
        offset: u64,
    },
    /// A place that belongs to nothing (an empty section, one that is not loaded).
    Nowhere {
        /// The section.
        section: SecId,
        /// The place in it.
        offset: u64,
    },
}

/// Bytes of an entry of a TOC (64-Bit ELF V2 ABI Specification, Power Architecture, 2.3.5).
const TOC_ENTRY: usize = 8;

/// An object with its items.
pub struct View<'o> {
    /// The object.
    pub object: &'o Object,
    /// All items.
    pub items: Vec<Item>,
    by_section: Vec<Vec<ItemId>>,
    by_symbol: HashMap<SymId, ItemId>,
    /// Of each item, once somebody asks: see [`Arch::biases`](crate::arch::Arch::biases).
    biases: Vec<OnceLock<Vec<(u64, i64)>>>,
    /// References near the border between two data of one section, by the section and offset of the field, and the datum
    /// that they count from: see [`bounds`](super::bounds).
    pub(super) settled: HashMap<(SecId, u64), ItemId>,
}

impl<'o> View<'o> {
    /// Cuts the object into items.
    pub fn new(object: &'o Object) -> Self {
        let mut by_section: Vec<Vec<SymId>> = vec![Vec::new(); object.sections.len()];
        for (id, symbol) in object.symbols.iter().enumerate() {
            if let Some(section) = symbol.section() {
                by_section[section].push(id);
            }
        }
        let mut view = Self {
            object,
            items: Vec::new(),
            by_section: vec![Vec::new(); object.sections.len()],
            by_symbol: HashMap::new(),
            biases: Vec::new(),
            settled: HashMap::new(),
        };
        let is_cut = |id: SecId, section: &Section| {
            id != 0 && section.is_alloc() && section.kind != SHT_NOTE && !section.is_strings()
        };
        let all = || object.sections.iter().enumerate().filter(|(id, section)| is_cut(*id, section));
        // Constants without a name last: where each begins, only the references of everything else tell.
        let (with_constants, others): (Vec<_>, Vec<_>) = all().partition(|(id, section)| {
            constants::has_any(object.arch, section, by_section[*id].iter().map(|&s| &object.symbols[s]))
        });
        for (id, section) in others {
            if object.arch.is_toc(&section.name) {
                view.cut_toc(id);
            } else if special::row_of(&section.name).is_none() {
                view.cut(id, &by_section[id], &[]);
            }
        }
        view.biases.resize_with(view.items.len(), OnceLock::new);
        let starts = constants::starts(&view, &with_constants.iter().map(|(id, _)| *id).collect());
        for (id, _) in with_constants {
            view.cut(id, &by_section[id], starts.get(&id).map_or(&[], Vec::as_slice));
        }
        view.biases.resize_with(view.items.len(), OnceLock::new);
        view.find_branches();
        view
    }

    /// Cuts a section into its named items and what is between them, that at `starts`.
    fn cut(&mut self, id: SecId, symbols: &[SymId], starts: &[u64]) {
        let section = &self.object.sections[id];
        let text = section.is_text();
        let mut named: Vec<SymId> = symbols
            .iter()
            .copied()
            .filter(|&s| {
                let symbol = &self.object.symbols[s];
                let kind = match symbol.kind {
                    SymKind::Func => text,
                    SymKind::Data => !text,
                    SymKind::None => symbol.size > 0,
                    _ => false,
                };
                kind && !symbol.name.is_empty() && !symbol.name.starts_with("__pfx_") && (symbol.size > 0 || !text)
            })
            .collect();
        named.sort_by_key(|&s| (self.object.symbols[s].value, s));
        let mut groups: Vec<(u64, u64, Vec<SymId>)> = Vec::new();
        for s in named {
            let symbol = &self.object.symbols[s];
            let end = symbol.value + symbol.size;
            match groups.last_mut() {
                // Aliases, and symbols inside of another.
                Some((start, last_end, all)) if symbol.value == *start || symbol.value < *last_end => {
                    *last_end = end.max(*last_end);
                    if symbol.value == *start {
                        all.push(s);
                    }
                }
                _ => groups.push((symbol.value, end, vec![s])),
            }
        }
        groups.retain(|(start, end, _)| end > start || section.size == 0);
        let alone = groups.len() == 1;
        let mut at = 0;
        for (start, end, symbols) in groups {
            let begin = match () {
                () if text && alone => 0,
                () if text => self.padding_before(id, at, start),
                () => start,
            };
            if begin > at && !self.is_gap(id, at..begin) {
                self.push_anonymous(id, at..begin, starts);
            }
            let end = if text && alone { section.size } else { end };
            let kind = if text { ItemKind::Function } else { ItemKind::Data };
            let item = self.items.len();
            // The name that is visible outside wins, then the first; last what module_init() and module_exit() add.
            let own = |s: SymId| !super::names::is_module_entry(&self.object.symbols[s].name);
            let named = symbols.iter().copied().filter(|&s| own(s));
            let best = named.clone().find(|&s| !self.object.symbols[s].is_local()).or(named.clone().next());
            let best = best.unwrap_or(symbols[0]);
            for &s in &symbols {
                self.by_symbol.insert(s, item);
            }
            self.by_section[id].push(item);
            self.items.push(Item {
                kind,
                name: self.object.symbols[best].name.clone(),
                section: id,
                range: begin..end,
                anchor: start,
                symbols,
                branches: Vec::new(),
                stuck: false,
            });
            at = end;
        }
        if at < section.size && !self.is_gap(id, at..section.size) {
            self.push_anonymous(id, at..section.size, starts);
        }
    }

    /// Each entry of a TOC belongs to the code that uses it, like a constant.
    fn cut_toc(&mut self, id: SecId) {
        let size = self.object.sections[id].size;
        (0..size).step_by(TOC_ENTRY).for_each(|at| self.push_anonymous(id, at..size.min(at + TOC_ENTRY as u64), &[]));
    }

    /// True for what is between functions and is no code, or between variables and is none.
    fn is_gap(&self, id: SecId, range: Range<u64>) -> bool {
        let section = &self.object.sections[id];
        if section.is_text() {
            return self.object.arch.is_padding(section, range);
        }
        // What aligns the next variable: zeroes, fewer than it is aligned to, and nothing that has a label.
        let align = (1u64 << range.end.trailing_zeros().min(12)).min(section.align.max(1));
        Storage::of(section) != Storage::ReadOnly
            && !self.items_before(id, range.start).is_empty()
            && range.end < section.size
            && range.end - range.start < align
            && section.relocs_in(range.clone()).is_empty()
            && section.bytes(range.clone()).iter().all(|&byte| byte == 0)
            && !self
                .object
                .symbols
                .iter()
                .any(|s| s.section() == Some(id) && s.kind != SymKind::Section && range.contains(&s.value))
    }

    /// The items of a section that end at `offset` or before.
    fn items_before(&self, id: SecId, offset: u64) -> &[ItemId] {
        let all = &self.by_section[id];
        &all[..all.partition_point(|&item| self.items[item].range.end <= offset)]
    }

    /// An item without a name, and those behind it that have none either.
    pub fn run_from(&self, id: ItemId) -> Range<u64> {
        let item = &self.items[id];
        let all = &self.by_section[item.section];
        let after = all.iter().map(|&i| &self.items[i]).skip_while(|i| i.range.start <= item.range.start);
        let unnamed = after.take_while(|i| i.kind == ItemKind::Anonymous);
        let end = unnamed.fold(item.range.end, |end, next| if next.range.start == end { next.range.end } else { end });
        item.range.start..end
    }

    /// All items without a name that an item without a name is among, with nothing between them.
    pub fn run_around(&self, id: ItemId) -> Range<u64> {
        let item = &self.items[id];
        let before = self.by_section[item.section].iter().rev().map(|&i| &self.items[i]);
        let before = before.skip_while(|i| i.range.start >= item.range.start);
        let unnamed = before.take_while(|i| i.kind == ItemKind::Anonymous);
        let start = unnamed.fold(item.range.start, |start, i| if i.range.end == start { i.range.start } else { start });
        start..self.run_from(id).end
    }

    /// The items of a section, in order.
    pub fn items_in(&self, id: SecId) -> &[ItemId] {
        &self.by_section[id]
    }

    /// Where the call padding of a function begins that shares its section with others, or the distance to the TOC
    /// that a large-model function of ppc64le reads.
    fn padding_before(&self, id: SecId, from: u64, entry: u64) -> u64 {
        let recorded =
            self.object.sections.iter().filter(|s| s.name == PATCHABLE_ENTRIES).flat_map(|s| &s.relocs).filter_map(
                |r| {
                    let symbol = &self.object.symbols[r.symbol];
                    (symbol.section() == Some(id)).then(|| symbol.value.wrapping_add_signed(r.addend))
                },
            );
        let prefix = self
            .object
            .symbols
            .iter()
            .filter(|s| s.name.starts_with("__pfx_") && s.section() == Some(id))
            .map(|s| s.value);
        let toc = self.object.sections[id].relocs_in(from..entry).iter();
        let toc = toc.filter(|r| self.object.arch.is_linker_symbol(&self.object.symbols[r.symbol].name));
        recorded.chain(prefix).chain(toc.map(|r| r.offset)).filter(|&p| p >= from && p < entry).min().unwrap_or(entry)
    }

    fn push_anonymous(&mut self, section: SecId, range: Range<u64>, starts: &[u64]) {
        let mut from = range.start;
        for &start in starts.iter().filter(|start| range.start < **start && **start < range.end) {
            self.push_piece(section, from..start);
            from = start;
        }
        self.push_piece(section, from..range.end);
    }

    fn push_piece(&mut self, section: SecId, range: Range<u64>) {
        self.by_section[section].push(self.items.len());
        self.items.push(Item {
            kind: ItemKind::Anonymous,
            name: self.object.sections[section].name.clone(),
            section,
            anchor: range.start,
            range,
            symbols: Vec::new(),
            branches: Vec::new(),
            stuck: false,
        });
    }

    /// Finds, in sections that hold several functions, the branches between them.
    fn find_branches(&mut self) {
        for id in 0..self.items.len() {
            let item = &self.items[id];
            let siblings = &self.by_section[item.section];
            if item.kind != ItemKind::Function || siblings.len() < 2 {
                continue;
            }
            let section = &self.object.sections[item.section];
            let arch = self.object.arch;
            let Some(found) = arch.local_branches(section, item.range.clone()) else {
                self.items[id].stuck = true;
                continue;
            };
            let (mut branches, mut stuck) = (Vec::new(), false);
            for branch in found {
                let target = siblings.iter().map(|&s| &self.items[s]).find(|s| s.range.contains(&branch.target));
                match target.and_then(|t| t.symbols.first().map(|&s| (s, t.anchor))) {
                    Some((symbol, anchor)) if branch.width == 4 => branches.push(Reloc {
                        offset: branch.field,
                        kind: arch.call_reloc(),
                        symbol,
                        addend: arch.branch_addend(
                            branch.target as i64
                                - anchor as i64
                                - arch.entered(arch.call_reloc(), &self.object.symbols[symbol]),
                        ),
                    }),
                    _ => stuck = true,
                }
            }
            self.items[id].branches = branches;
            self.items[id].stuck = stuck;
        }
    }

    /// The section of an item.
    pub fn section(&self, item: ItemId) -> &'o Section {
        &self.object.sections[self.items[item].section]
    }

    /// The bytes of an item; none for zero-initialised data.
    pub fn bytes(&self, item: ItemId) -> &'o [u8] {
        self.section(item).bytes(self.items[item].range.clone())
    }

    /// The relocations of an item, sorted by offset (offsets count from the section's start).
    pub fn relocs(&self, item: ItemId) -> Vec<Reloc> {
        let it = &self.items[item];
        let mut all = self.section(item).relocs_in(it.range.clone()).to_vec();
        if !it.branches.is_empty() {
            all.extend_from_slice(&it.branches);
            all.sort_by_key(|r| r.offset);
        }
        all
    }

    /// The item that a symbol names.
    pub fn item_of(&self, symbol: SymId) -> Option<ItemId> {
        self.by_symbol.get(&symbol).copied()
    }

    /// The item of a section that holds this place; at the very end, the last one.
    pub fn item_at(&self, section: SecId, offset: u64) -> Option<ItemId> {
        let all = self.by_section.get(section)?;
        let after = all.partition_point(|&i| self.items[i].range.start <= offset);
        let candidate = *all.get(after.checked_sub(1)?)?;
        let range = &self.items[candidate].range;
        (range.contains(&offset) || offset == range.end).then_some(candidate)
    }

    /// What a relocation that is in `section` (in the piece `around`) refers to.
    pub fn reference(&self, section: SecId, around: Range<u64>, reloc: &Reloc) -> Ref {
        let symbol = &self.object.symbols[reloc.symbol];
        let Some(home) = symbol.section() else {
            return Ref::External { symbol: reloc.symbol, addend: reloc.addend };
        };
        if let Some(item) = self.item_of(reloc.symbol) {
            let shift = symbol.value as i64 - self.items[item].anchor as i64;
            return Ref::Item { item, addend: reloc.addend + shift + self.other_entry(reloc, item) };
        }
        let raw = (symbol.value as i64).wrapping_add(reloc.addend);
        let target = &self.object.sections[home];
        if target.is_strings() {
            // A label is kept where the reference is not to its place: the string is the label's, also if the reference is to
            // its end, where the next string begins.
            let point = match symbol.kind {
                SymKind::Section => (raw + self.bias(section, around, reloc)).max(0) as u64,
                _ => symbol.value,
            };
            let start = string_start(target, point);
            return Ref::String { section: home, start, addend: raw - start as i64 };
        }
        if special::row_of(&target.name).is_some_and(|row| row.fate != Fate::MadeByObjtool) {
            let point = raw + self.bias(section, around, reloc);
            return Ref::Special { section: home, offset: point.max(0) as u64 };
        }
        let items = &self.by_section[home];
        let item = match items.as_slice() {
            [only] => Some(*only),
            _ => match self.settled.get(&(section, reloc.offset)) {
                Some(&item) => Some(item),
                None => self.item_at(home, (raw + self.bias(section, around, reloc)).max(0) as u64),
            },
        };
        match item {
            Some(item) => {
                Ref::Item { item, addend: raw - self.items[item].anchor as i64 + self.other_entry(reloc, item) }
            }
            None => Ref::Nowhere { section: home, offset: raw.max(0) as u64 },
        }
    }

    /// What an addend grows by when a relocation gets the symbol of an item instead of its own: see
    /// [`Arch::entered`](crate::arch::Arch::entered).
    fn other_entry(&self, reloc: &Reloc, item: ItemId) -> i64 {
        let entered = |symbol: SymId| self.object.arch.entered(reloc.kind, &self.object.symbols[symbol]);
        self.items[item].symbols.first().map_or(0, |&own| entered(reloc.symbol) - entered(own))
    }

    /// The references of an item, in order: the relocation and what it refers to.
    pub fn references(&self, item: ItemId) -> Vec<(Reloc, Ref)> {
        let it = &self.items[item];
        self.relocs(item).into_iter().map(|r| (r, self.reference(it.section, it.range.clone(), &r))).collect()
    }

    /// What a reference leads to in the end: where it leads to an entry of a TOC that holds an address, what
    /// that address is.
    pub fn through_toc(&self, reference: Ref) -> Ref {
        let Ref::Item { item, addend: 0 } = reference else { return reference };
        let slot = &self.items[item];
        match self.section(item).relocs_in(slot.range.clone()) {
            [address] if self.is_toc(item) => self.reference(slot.section, slot.range.clone(), address),
            _ => reference,
        }
    }

    /// True for an entry of a TOC.
    pub fn is_toc(&self, item: ItemId) -> bool {
        self.items[item].kind == ItemKind::Anonymous && self.object.arch.is_toc(&self.section(item).name)
    }

    /// How far beyond its addend a reference leads: see [`Arch::bias`](crate::arch::Arch::bias).
    pub fn bias(&self, section: SecId, around: Range<u64>, reloc: &Reloc) -> i64 {
        let symbol = &self.object.symbols[reloc.symbol];
        let s = &self.object.sections[section];
        if !matches!(self.object.arch.field(reloc.kind), Some(Field::Relative { .. })) {
            return self.object.arch.bias(s, around, reloc);
        }
        // A label is at the very start of what it names: no need to decode.
        if symbol.kind != SymKind::Section && (-8..=-4).contains(&reloc.addend) && s.is_text() {
            return -reloc.addend;
        }
        let item = self.item_at(section, around.start).filter(|&item| s.is_text() && self.items[item].range == around);
        let Some(biases) = item.and_then(|item| self.biases.get(item)) else {
            return self.object.arch.bias(s, around, reloc);
        };
        let all = biases.get_or_init(|| self.object.arch.biases(s, around.clone()));
        match all.binary_search_by_key(&reloc.offset, |&(offset, _)| offset) {
            Ok(n) => all[n].1,
            Err(_) => self.object.arch.bias(s, around, reloc),
        }
    }
}

/// The start of the string that holds `point`.
fn string_start(section: &Section, point: u64) -> u64 {
    let unit = section.string_unit();
    let units = (point as usize).min(section.data.len()) / unit;
    let mut before = section.data[..units * unit].chunks_exact(unit);
    before.rposition(|letter| letter.iter().all(|&b| b == 0)).map_or(0, |n| ((n + 1) * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::X86_64;

    #[test]
    fn the_end_of_a_string_is_of_that_string() {
        let flags = u64::from(SHF_ALLOC | SHF_MERGE | SHF_STRINGS);
        let data = b"ab\0cd\0".to_vec();
        let strings = Section { name: ".rodata.str1.1".into(), flags, entsize: 1, size: 6, data, ..Section::default() };
        let code = Section { name: ".text.f".into(), size: 16, ..Section::default() };
        let section = Symbol { kind: SymKind::Section, place: Place::In(1), ..Symbol::null() };
        // gas keeps the label of a reference that is not to its place.
        let label = Symbol { name: ".LC0".into(), place: Place::In(1), ..Symbol::null() };
        let symbols = vec![Symbol::null(), section, label];
        let object = Object { arch: &X86_64, flags: 0, sections: vec![Section::default(), strings, code], symbols };
        let view = View::new(&object);
        let reference = |symbol, addend| view.reference(2, 0..16, &Reloc { offset: 4, kind: 1, symbol, addend });
        assert_eq!(reference(2, 3), Ref::String { section: 1, start: 0, addend: 3 });
        assert_eq!(reference(1, 3), Ref::String { section: 1, start: 3, addend: 0 });
        assert_eq!(reference(1, 1), Ref::String { section: 1, start: 0, addend: 1 });
    }
}
