// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage prove: shows that the rebuilt original of a unit is what runs.
//!
//! A unit compiled with kbuild's own flags is in the shipped image as a few contiguous pieces, one per section. Where
//! each of them is comes from the unit's function names; then every byte and every reference is compared, references as
//! targets, not masked. The place of each section, which is found on the way, distinguishes functions of the same name
//! and gives static data their addresses.

pub mod all_units;
mod contents;
pub mod explain;
pub mod other_units;
mod place;
pub mod rebuild;
pub mod report;
mod tables;

use crate::arch::Field;
use crate::elf::{Bind, Object, Reloc, SecId, SymId, SymKind};
use crate::image::shipped::{Leads, Named, Piece, Shipped, Spot};
use crate::section_table::{JUMP_ENTRY, JUMP_TABLE};
use crate::special::layout::Layouts;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use tables::Tables;

/// What became of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there, byte for byte and reference for reference.
    Proven(Spot),
    /// It does not.
    Differs {
        /// Where it was expected; None when it was not found at all.
        at: Option<Spot>,
        /// Offset in the function of the first difference.
        offset: u64,
        /// What differs.
        why: String,
    },
}

/// What is known of a unit after the proof.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// By function name.
    pub functions: BTreeMap<String, Verdict>,
    /// Where the sections of the rebuilt object are.
    pub sections: HashMap<SecId, Spot>,
    /// Where the symbols of the rebuilt object are, by name: its own, and those that it refers to.
    pub symbols: HashMap<String, Spot>,
}

/// The places in `object` that objtool turns into nops: `.text` offsets of jump label sites, by section.
fn jump_sites(object: &Object, jump_entry: u64) -> HashMap<SecId, Vec<u64>> {
    let mut sites: HashMap<SecId, Vec<u64>> = HashMap::new();
    for section in object.sections.iter().filter(|s| s.name == JUMP_TABLE) {
        for r in section.relocs.iter().filter(|r| jump_entry > 0 && r.offset % jump_entry == 0) {
            let symbol = &object.symbols[r.symbol];
            if let Some(home) = symbol.section() {
                sites.entry(home).or_default().push(symbol.value.wrapping_add_signed(r.addend));
            }
        }
    }
    sites
}

/// Proves a unit: `object` is the original, compiled with exactly kbuild's flags; `layouts` has the sizes of the structs in
/// special sections.
pub fn prove(object: &Object, shipped: &dyn Shipped, layouts: &Layouts) -> Proof {
    let sites = jump_sites(object, layouts.size_of(&JUMP_ENTRY).unwrap_or(0));
    let tables = Tables::of(object, shipped, layouts);
    // A section whose only evidence is functions with non-unique names is not trusted, nor is anything derived from it.
    let mut doubted: BTreeMap<SecId, String> = BTreeMap::new();
    loop {
        let mut run = Run { sites: &sites, tables: &tables, doubted: &doubted, ..Run::new(object, shipped) };
        let mut left = run.functions();
        for sure in [true, false] {
            run.place_by_functions(sure);
            left = run.compare_placed(left);
            while run.follow_pointers() {
                left = run.compare_placed(left);
            }
        }
        for (id, range) in left {
            run.compare(id, range);
        }
        let more = run.in_doubt();
        if more.is_empty() {
            run.check_constants();
            return run.proof;
        }
        doubted.extend(more);
    }
}

/// Bytes of an entry of a table of addresses ([`Arch::is_toc`](crate::arch::Arch::is_toc)).
const TABLE_ENTRY: u64 = 8;

struct Run<'a> {
    object: &'a Object,
    shipped: &'a dyn Shipped,
    sites: &'a HashMap<SecId, Vec<u64>>,
    tables: &'a Tables,
    /// Sections that are not to be placed, and why.
    doubted: &'a BTreeMap<SecId, String>,
    proof: Proof,
    /// Why a section has no place, where more is known than that.
    unplaced: HashMap<SecId, String>,
    /// What the function that is being compared has taught so far.
    learned: Learned,
    /// Pairs of a section and another that its proven functions refer to where it is.
    links: BTreeSet<(SecId, SecId)>,
}

/// What one function's references teach; believed once the whole function is proven.
#[derive(Default)]
struct Learned {
    sections: Vec<SecId>,
    symbols: Vec<String>,
    links: Vec<(SecId, SecId)>,
}

impl Run<'_> {
    /// The functions of the unit: symbol, its bytes in the section.
    fn functions(&self) -> Vec<(SymId, Range<u64>)> {
        self.object
            .symbols
            .iter()
            .enumerate()
            .filter(|(_, s)| s.kind == SymKind::Func && s.size > 0 && s.section().is_some())
            .map(|(id, s)| (id, s.value..s.value + s.size))
            .collect()
    }

    /// Compares the functions of placed sections, and those of sections that their references place; returns the others.
    fn compare_placed(&mut self, mut left: Vec<(SymId, Range<u64>)>) -> Vec<(SymId, Range<u64>)> {
        loop {
            let placed = |(id, _): &(SymId, Range<u64>)| {
                self.object.symbols[*id].section().is_some_and(|home| self.proof.sections.contains_key(&home))
            };
            let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(placed);
            if now.is_empty() {
                return later;
            }
            for (id, range) in now {
                self.compare(id, range);
            }
            left = later;
        }
    }

    /// The jump label sites of a code range that objtool has turned into nops in the shipped code, bytes of the section.
    /// Such a jump may lead into another section: its relocation is gone then.
    fn switched_off(&self, piece: &Piece<'_>, shipped: &[u8]) -> Vec<Range<u64>> {
        let range = &piece.range;
        let mine = self.object.sections[piece.section].bytes(range.clone());
        let sites = self.sites.get(&piece.section).into_iter().flatten().filter(|site| range.contains(site));
        let off = sites.filter_map(|&site| {
            let at = (site - range.start) as usize;
            let len = self.object.arch.is_disabled_jump(mine.get(at..)?, shipped.get(at..)?)?;
            Some(site..site + len as u64)
        });
        off.collect()
    }

    /// The first byte of a code range that differs from the shipped one, fields of relocations and jumps that are
    /// switched off aside.
    fn first_difference(&self, piece: &Piece<'_>, shipped: &[u8], off: &[Range<u64>]) -> Option<u64> {
        let range = &piece.range;
        let mut mine = self.object.sections[piece.section].bytes(range.clone()).to_vec();
        let mut theirs = shipped.to_vec();
        if mine.len() != theirs.len() {
            return Some(0);
        }
        for r in piece.relocs() {
            let at = ((r.offset - range.start) as usize).min(mine.len());
            if let Some(field) = self.object.arch.field(r.kind) {
                field.blank(&mut mine[at..]);
                field.blank(&mut theirs[at..]);
            }
        }
        for site in off {
            let at = (site.start - range.start) as usize..(site.end - range.start) as usize;
            mine[at.clone()].fill(0);
            theirs[at].fill(0);
        }
        mine.iter().zip(&theirs).position(|(a, b)| a != b).map(|p| p as u64)
    }

    /// Compares one function in full and records the verdict and what it settles.
    fn compare(&mut self, id: SymId, range: Range<u64>) {
        let symbol = &self.object.symbols[id];
        let name = symbol.name.clone();
        let Some(section) = symbol.section() else { return };
        let verdict = match self.proof.sections.get(&section) {
            None => Verdict::Differs { at: None, offset: 0, why: self.why_unplaced(section) },
            Some(&base) => {
                let spot = base.moved(range.start as i64);
                let lead = self.object.arch.lead_in(&self.object.sections[section], range.start);
                let in_front = range.start - lead..range.start;
                let found = self.difference(section, in_front, spot.moved(-(lead as i64)));
                let found = found.map(|(_, why)| (0, format!("before its entry: {why}")));
                let found = found.or_else(|| self.difference(section, range.clone(), spot));
                match found.or_else(|| self.difference_of_tables(section, &range, spot)) {
                    None => {
                        self.links.append(&mut self.learned.links.drain(..).collect());
                        self.learned = Learned::default();
                        Verdict::Proven(spot)
                    }
                    Some((offset, why)) => {
                        self.forget();
                        Verdict::Differs { at: Some(spot), offset, why }
                    }
                }
            }
        };
        self.proof.functions.insert(name, verdict);
    }

    fn difference(&mut self, section: SecId, range: Range<u64>, spot: Spot) -> Option<(u64, String)> {
        let piece = Piece { object: self.object, section, range: range.clone(), spot };
        let Some(bytes) = self.shipped.code(&piece) else { return Some((0, "the shipped image ends here".into())) };
        let off = self.switched_off(&piece, &bytes);
        if let Some(offset) = self.first_difference(&piece, &bytes, &off) {
            let show = |b: &[u8]| {
                let from = offset as usize;
                b[from..(from + 8).min(b.len())].iter().map(|b| format!("{b:02x} ")).collect::<String>()
            };
            let mine = self.object.sections[section].bytes(range);
            return Some((
                offset,
                format!("shipped bytes are {}and rebuilt ones {}", show(&bytes), show(mine).trim_end()),
            ));
        }
        for r in piece.relocs().iter().filter(|r| !off.iter().any(|site| site.contains(&r.offset))) {
            if let Err(why) = self.reference(&piece, r) {
                return Some((r.offset - range.start, why));
            }
        }
        None
    }

    /// Compares one reference by where it leads; learns places from it.
    fn reference(&mut self, piece: &Piece<'_>, r: &Reloc) -> Result<(), String> {
        let Some(field) = self.object.arch.field(r.kind) else {
            return Err(format!("relocation {} is not known", self.object.arch.reloc_name(r.kind)));
        };
        if field == Field::None {
            return Ok(());
        }
        let symbol = &self.object.symbols[r.symbol];
        let home = symbol.section().map(|home| &self.object.sections[home]);
        let table = home.is_some_and(|home| self.object.arch.is_toc(&home.name));
        match self.shipped.follow(piece, r, field) {
            Leads::Place(place) if table => self.entry(piece, r, place.moved(r.addend)),
            Leads::Place(place) => self.target(piece, r, place),
            Leads::Held(place) => match self.held(r) {
                Some((_, Some(held))) => self.target(piece, &held, place.moved(held.addend.wrapping_neg())),
                _ => Err(format!(
                    "the shipped code refers to {}, the rebuilt code reads a number",
                    self.shipped.describe(place)
                )),
            },
            Leads::Undefined(theirs) if symbol.is_undefined() && theirs == symbol.name => Ok(()),
            Leads::Undefined(theirs) => Err(format!(
                "the shipped code refers to {theirs}, the rebuilt code to {}",
                self.object.symbol_name(r.symbol)
            )),
            Leads::Nowhere(why) => Err(why),
        }
    }

    /// The entry of a table of addresses that `r` refers to: its bytes, and the reference that it holds, if it is no
    /// plain number.
    fn held(&self, r: &Reloc) -> Option<(Range<u64>, Option<Reloc>)> {
        let symbol = &self.object.symbols[r.symbol];
        let table = &self.object.sections[symbol.section()?];
        let start = symbol.value.wrapping_add_signed(r.addend);
        let range = start..start.checked_add(TABLE_ENTRY)?;
        match table.relocs_in(range.clone()) {
            [] if self.object.arch.is_toc(&table.name) => Some((range, None)),
            [held] if held.offset == start && held.kind == self.object.arch.pointer_reloc() => {
                let to = self.object.symbols[held.symbol].section().map(|to| &self.object.sections[to].name);
                let to_another = to.is_some_and(|to| self.object.arch.is_toc(to));
                (!to_another).then_some((range, Some(*held)))
            }
            _ => None,
        }
    }

    /// Compares an entry of a table of addresses by what it holds: where it is, the linker decides.
    fn entry(&mut self, piece: &Piece<'_>, r: &Reloc, theirs: Spot) -> Result<(), String> {
        let Some((range, held)) = self.held(r) else {
            return Err("the rebuilt code reads an entry of the TOC that is neither an address nor a number".into());
        };
        let Some(home) = self.object.symbols[r.symbol].section() else { return Ok(()) };
        if let Some(held) = held {
            let entry = Piece { object: piece.object, section: home, range, spot: theirs };
            return self.reference(&entry, &held);
        }
        let mine = self.object.sections[home].bytes(range);
        let same = self.shipped.bytes(theirs, TABLE_ENTRY) == Some(mine) && self.shipped.is_plain(theirs, TABLE_ENTRY);
        if same {
            Ok(())
        } else {
            Err(format!("the number at {} differs", self.shipped.describe(theirs)))
        }
    }

    /// Compares what the symbol of `r` is with its place in the shipped code.
    fn target(&mut self, piece: &Piece<'_>, r: &Reloc, place: Spot) -> Result<(), String> {
        let symbol = &self.object.symbols[r.symbol];
        let name = symbol.name.clone();
        let Some(home) = symbol.section() else {
            return match self.shipped.is_named(&name, place) {
                Named::Yes | Named::Unlisted => self.learn(&name, place),
                Named::OtherUnits => Err(format!(
                    "the shipped code refers to {}, the rebuilt code to {name}",
                    self.shipped.describe(place)
                )),
            };
        };
        let target = &self.object.sections[home];
        if target.is_strings() || target.is_constants() {
            // Merged by the linker: compared by contents. It takes symbols along with what they name; from the
            // start of the section it counts to the place itself.
            let beyond = match symbol.kind {
                SymKind::Section => {
                    let from = &self.object.sections[piece.section];
                    r.addend + self.object.arch.bias(from, piece.range.clone(), r)
                }
                _ => 0,
            };
            let mine = (symbol.value as i64 + beyond).max(0) as u64;
            let theirs = place.moved(beyond);
            let same = if target.is_strings() {
                self.shipped.string(theirs, target.string_unit()) == Some(crate::elf::strings::string_at(target, mine))
            } else {
                self.shipped.bytes(theirs, target.entsize) == Some(target.bytes(mine..mine + target.entsize))
            };
            return if same {
                Ok(())
            } else {
                Err(format!("the constant at {} differs", self.shipped.describe(theirs)))
            };
        }
        let base = place.moved(-(symbol.value as i64));
        self.learned.links.push((piece.section, home));
        match self.proof.sections.get(&home) {
            Some(&known) if known == base => Ok(()),
            // A weak symbol may have been overridden by another unit's.
            _ if symbol.bind == Bind::Weak && self.shipped.is_named(&name, place) == Named::Yes => {
                self.learn(&name, place)
            }
            Some(&known) => {
                let from = &self.object.sections[piece.section];
                let beyond = r.addend + self.object.arch.bias(from, piece.range.clone(), r);
                Err(format!(
                    "the shipped code refers to {}, the rebuilt code to {}",
                    self.shipped.describe(place.moved(beyond)),
                    self.shipped.describe(known.moved(symbol.value as i64 + beyond))
                ))
            }
            None => {
                if let Some(why) = self.doubted.get(&home) {
                    return Err(why.clone());
                }
                if let Some(other) = self.misplaced(home, base) {
                    return Err(format!(
                        "the shipped code refers to {}; if {} were where the rebuilt code has it, {other} would be at \
                         another address than it is",
                        self.shipped.describe(place.moved(r.addend)),
                        target.name
                    ));
                }
                self.proof.sections.insert(home, base);
                self.learned.sections.push(home);
                Ok(())
            }
        }
    }

    /// Takes back what a function has taught that turned out to be another.
    fn forget(&mut self) {
        let learned = std::mem::take(&mut self.learned);
        learned.sections.iter().for_each(|s| _ = self.proof.sections.remove(s));
        learned.symbols.iter().for_each(|s| _ = self.proof.symbols.remove(s));
    }

    /// The first symbol of a section that is not where it would if the section was at `base`.
    fn misplaced(&self, section: SecId, base: Spot) -> Option<&str> {
        let named = |s: &&crate::elf::Symbol| {
            s.section() == Some(section) && s.bind != Bind::Weak && !s.name.is_empty() && s.kind != SymKind::Section
        };
        let elsewhere =
            |s: &&crate::elf::Symbol| self.shipped.is_named(&s.name, base.moved(s.value as i64)) == Named::OtherUnits;
        self.object.symbols.iter().filter(named).find(elsewhere).map(|s| s.name.as_str())
    }

    fn learn(&mut self, name: &str, place: Spot) -> Result<(), String> {
        match self.proof.symbols.get(name) {
            Some(&before) if before != place => Err(format!(
                "{name} is {} here and {} elsewhere in the same unit",
                self.shipped.describe(place),
                self.shipped.describe(before)
            )),
            Some(_) => Ok(()),
            None => {
                self.proof.symbols.insert(name.into(), place);
                self.learned.symbols.push(name.into());
                Ok(())
            }
        }
    }
}

impl Proof {
    /// How many functions are in the shipped kernel.
    pub fn proven(&self) -> usize {
        self.functions.values().filter(|v| matches!(v, Verdict::Proven(_))).count()
    }

    /// Where a symbol of the unit is: proven functions and data in placed sections, and what they refer to.
    pub fn spot(&self, object: &Object, name: &str) -> Option<Spot> {
        let own = object.symbols.iter().find(|s| s.name == name && s.section().is_some());
        // References show where a weak symbol is taken from.
        let overridden = own.filter(|s| s.bind == Bind::Weak).and_then(|_| self.symbols.get(name).copied());
        if overridden.is_some() {
            return overridden;
        }
        if let Some(symbol) = own {
            let base = self.sections.get(&symbol.section()?)?;
            return Some(base.moved(symbol.value as i64));
        }
        self.symbols.get(name).copied()
    }
}

#[cfg(test)]
mod jump_tests;
#[cfg(test)]
mod tables_tests;
#[cfg(test)]
mod tests;
