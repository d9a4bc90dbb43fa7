// SPDX-License-Identifier: GPL-2.0-or-later
//! What special sections say about a function: a function of known place in, the first difference between the entries that
//! the rebuilt object and the shipped kernel have about it out.
//!
//! Code may be byte for byte the same while an alternative, an exception table entry or the key of a jump label
//! differs, and a live patch copies all of these. Entries are found by the code that they refer to, because linker and
//! build tools may sort them. A table without entries of the unit is not compared, nor is one whose place the image
//! does not show (a kernel without CONFIG_KALLSYMS_ALL).

use super::Run;
use crate::elf::{Object, Reloc, SecId};
use crate::image::shipped::{Leads, Piece, Shipped, Spot};
use crate::special::layout::Layouts;
use crate::special::{entries, row_of, Entry, Fate};
use std::collections::BTreeMap;
use std::ops::Range;

/// The entries of one special section: the unit's own, and those of what is shipped.
struct Table {
    section: SecId,
    /// The unit's own: by the section and the offset of the code, in the order of the table.
    own: BTreeMap<(SecId, u64), Vec<Entry>>,
    /// Those shipped: by the place of the code, in the order of the table.
    shipped: BTreeMap<Spot, Vec<Spot>>,
}

/// The special sections of a unit.
#[derive(Default)]
pub(super) struct Tables {
    all: Vec<Table>,
    /// Code that is apart from its function, cut into its pieces.
    apart: BTreeMap<SecId, Vec<Range<u64>>>,
}

impl Tables {
    /// Of one unit. A section that cannot be cut is left out: a fix that needs it is refused by name when it is compared.
    pub(super) fn of(object: &Object, shipped: &dyn Shipped, layouts: &Layouts) -> Self {
        let mut out = Self::default();
        for (id, section) in object.sections.iter().enumerate() {
            let cut = || entries(object, id, layouts, &mut Vec::new()).unwrap_or_default();
            if row_of(&section.name).is_some_and(|row| row.bounds.is_some()) {
                out.all.extend(table(object, id, cut(), shipped));
            } else if is_apart(object, id) {
                out.apart.insert(id, cut().into_iter().map(|entry| entry.range).collect());
            }
        }
        out
    }
}

/// True for code that belongs to functions and is elsewhere.
fn is_apart(object: &Object, section: SecId) -> bool {
    row_of(&object.sections[section].name).is_some_and(|row| row.fate == Fate::Referenced)
}

/// None where what is shipped does not say where it has this table.
fn table(object: &Object, id: SecId, cut: Vec<Entry>, shipped: &dyn Shipped) -> Option<Table> {
    let section = &object.sections[id];
    let row = row_of(&section.name)?;
    let mut out = Table { section: id, own: BTreeMap::new(), shipped: BTreeMap::new() };
    let first = cut.first()?.clone();
    for entry in cut {
        let r = row.code_of(section, &entry)?;
        if let Some(place) = place_in(object, id, &entry.range, r) {
            out.own.entry(place).or_default().push(entry);
        }
    }
    let r = *row.code_of(section, &first)?;
    let field = object.arch.field(r.kind)?;
    let beyond = r.addend + object.arch.bias(section, first.range.clone(), &r);
    for (start, len) in shipped.table(&section.name)? {
        let used = first.range.end - first.range.start;
        for at in (0..len.saturating_sub(used - 1)).step_by(first.stride as usize) {
            let spot = start.moved(at as i64);
            let piece = Piece { object, section: id, range: first.range.clone(), spot };
            if let Leads::Place(code) = shipped.follow(&piece, &r, field) {
                out.shipped.entry(code.moved(beyond)).or_default().push(spot);
            }
        }
    }
    Some(out)
}

/// Where a reference of an entry leads: a section of the unit, and an offset in it.
fn place_in(object: &Object, from: SecId, around: &Range<u64>, r: &Reloc) -> Option<(SecId, u64)> {
    let symbol = &object.symbols[r.symbol];
    let beyond = r.addend + object.arch.bias(&object.sections[from], around.clone(), r);
    Some((symbol.section()?, symbol.value.wrapping_add_signed(beyond)))
}

/// The first place that only one of two sorted lists has, and whether that is the first list.
fn alone(one: impl Iterator<Item = u64>, other: impl Iterator<Item = u64>) -> Option<(u64, bool)> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    while one.peek().is_some() && one.peek() == other.peek() {
        one.next();
        other.next();
    }
    match (one.next(), other.next()) {
        (Some(a), Some(b)) => Some((a.min(b), a < b)),
        (Some(a), None) => Some((a, true)),
        (None, b) => Some((b?, false)),
    }
}

impl Run<'_> {
    /// The first difference in what special sections say about the function that is `range` of `section` and is at
    /// `spot`, as an offset in it; and in code of its own that is elsewhere.
    pub(super) fn difference_of_tables(
        &mut self,
        section: SecId,
        range: &Range<u64>,
        spot: Spot,
    ) -> Option<(u64, String)> {
        let tables = self.tables;
        for table in &tables.all {
            let name = &self.object.sections[table.section].name;
            let own = table.own.range((section, range.start)..(section, range.end));
            let own: Vec<(u64, &Entry)> =
                own.flat_map(|((_, at), all)| all.iter().map(move |entry| (at - range.start, entry))).collect();
            let theirs = table.shipped.range(spot..spot.moved((range.end - range.start) as i64));
            let theirs: Vec<(u64, Spot)> =
                theirs.flat_map(|(code, all)| all.iter().map(move |&entry| (code.at - spot.at, entry))).collect();
            match alone(own.iter().map(|o| o.0), theirs.iter().map(|t| t.0)) {
                None => {}
                Some((at, true)) => {
                    let why = format!("the shipped {name} has no entry for this address, the rebuilt one has");
                    return Some((at, why));
                }
                Some((at, false)) => {
                    let why = format!("the shipped {name} has an entry for this address, the rebuilt one has none");
                    return Some((at, why));
                }
            }
            for ((at, entry), (_, spot)) in own.into_iter().zip(theirs) {
                if let Some(why) = self.difference_of_entry(section, table.section, &entry.range, spot) {
                    return Some((at, format!("its {name} entry differs: {why}")));
                }
            }
        }
        let relocs = self.object.sections[section].relocs_in(range.clone());
        relocs.iter().find_map(|r| Some((r.offset - range.start, self.difference_apart(section, range, r)?)))
    }

    /// What differs in an entry about code of `home`, or in code that it leads to.
    fn difference_of_entry(&mut self, home: SecId, table: SecId, range: &Range<u64>, spot: Spot) -> Option<String> {
        let piece = Piece { object: self.object, section: table, range: range.clone(), spot };
        let Some(theirs) = self.shipped.bytes(spot, range.end - range.start) else {
            return Some("the shipped kernel ends here".into());
        };
        if let Some(at) = self.first_difference(&piece, theirs, &[]) {
            let mine = self.object.sections[table].bytes(range.clone());
            return Some(format!(
                "its byte {at} is {:02x} in the shipped kernel and {:02x} in the rebuilt one",
                theirs[at as usize], mine[at as usize]
            ));
        }
        let linked = self.learned.links.len();
        for r in piece.relocs() {
            if let Err(why) = self.reference(&piece, r) {
                return Some(why);
            }
            if let Some(why) = self.difference_apart(table, range, r) {
                return Some(why);
            }
        }
        // The entry was found by its code: what it says beside that is what the code says of others.
        for link in self.learned.links[linked..].iter_mut().filter(|link| link.0 == table) {
            link.0 = home;
        }
        self.learned.links.retain(|(from, to)| from != to);
        None
    }

    /// What differs in the code that is apart from its function and that `r`, of a function or an entry, leads to.
    fn difference_apart(&mut self, from: SecId, around: &Range<u64>, r: &Reloc) -> Option<String> {
        let (section, at) = place_in(self.object, from, around, r)?;
        let range = self.tables.apart.get(&section)?.iter().find(|range| range.contains(&at))?.clone();
        let base = *self.proof.sections.get(&section)?;
        let name = &self.object.sections[section].name;
        let found = self.difference(section, range.clone(), base.moved(range.start as i64));
        found.map(|(offset, why)| format!("in byte {offset:#x} of its code in {name}: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::alone;

    #[test]
    fn the_first_place_of_one_list_alone() {
        let of = |one: &[u64], other: &[u64]| alone(one.iter().copied(), other.iter().copied());
        assert_eq!(of(&[], &[]), None);
        assert_eq!(of(&[1, 2, 2], &[1, 2, 2]), None);
        assert_eq!(of(&[1, 2, 2], &[1, 2]), Some((2, true)));
        assert_eq!(of(&[1, 4], &[1, 3, 4]), Some((3, false)));
        assert_eq!(of(&[1, 3, 4], &[1, 4]), Some((3, true)));
        assert_eq!(of(&[], &[7]), Some((7, false)));
    }
}
