// SPDX-License-Identifier: GPL-2.0-or-later
//! Special sections: arrays in which each entry tells the kernel something about one place in the code.
//! `section_table.rs` lists them; [`entries`] cuts a section into its entries. Beside it: what every other section is
//! ([`known`]), and how the running kernel keeps it ([`storage`]).

pub mod known;
pub mod layout;
pub mod marks;
pub mod storage;
mod stride;
pub mod writes;

use crate::elf::{Object, Reloc, SecId, Section};
use crate::error::Refusal;
use crate::section_table::{holds, CStruct};
pub use crate::section_table::{name_in_live_patch, row_of, Fate, Row, Size};
use layout::Layouts;
use std::ops::Range;

impl Row {
    /// The reference to the code that an entry is about.
    pub fn code_of<'s>(&self, section: &'s Section, entry: &Entry) -> Option<&'s Reloc> {
        let at = entry.range.start + self.code;
        section.relocs_in(at..at + 1).first()
    }
}

/// One entry of a special section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section.
    pub section: SecId,
    /// Its bytes in the section, without padding up to the next entry.
    pub range: Range<u64>,
    /// From its start to that of the next entry, bytes; 0 where entries have no fixed size.
    pub stride: u64,
}

/// Cuts the special section `id` into entries. Adds to `notes` where a given size was wrong.
///
/// # Errors
/// A refusal where the entry size is unknown or does not fit the section, or an entry names no code.
pub fn entries(object: &Object, id: SecId, layouts: &Layouts, notes: &mut Vec<String>) -> Result<Vec<Entry>, Refusal> {
    let section = &object.sections[id];
    let Some(row) = row_of(&section.name) else { return Ok(Vec::new()) };
    if section.size == 0 {
        return Ok(Vec::new());
    }
    match row.size {
        Size::Replacements(table) => Ok(replacements(object, id, table)),
        Size::OutOfLine(table) => Ok(out_of_line(object, id, table)),
        Size::Alternatives(of) => Ok(alternatives(object, id, of, layouts)),
        Size::PerReloc => {
            let size = section.size.checked_div(section.relocs.len() as u64).unwrap_or(0);
            if size == 0 || !section.size.is_multiple_of(size) {
                return Err(bad(
                    section,
                    format!(
                        "{} bytes cannot be divided evenly among {} references",
                        section.size,
                        section.relocs.len()
                    ),
                ));
            }
            cut(section, id, row, size)
        }
        Size::Struct(CStruct { name, .. }) => {
            let given = layouts.size(name).or((section.entsize > 0).then_some(section.entsize));
            let Some(given) = given else {
                return Err(Refusal::new(
                    "unknown-entry-size",
                    "",
                    &section.name,
                    format!("the size of struct {name} is not known: BTF, DWARF and the section header do not tell"),
                    &format!("give it with --layout {name}=BYTES, or compile with debug information"),
                ));
            };
            let size = stride::settle(object, id, row.code, given);
            if size != given {
                notes.push(format!(
                    "{}: struct {name} is {size} bytes long here, as the section's own relocations show, not {given}",
                    section.name
                ));
            }
            cut(section, id, row, size)
        }
    }
}

fn bad(section: &Section, why: String) -> Refusal {
    Refusal::new(
        "bad-special-section",
        "",
        &section.name,
        why,
        "check that the entry size (--layout, BTF or DWARF) is that of the kernel this object was compiled for",
    )
}

fn cut(section: &Section, id: SecId, row: &Row, stride: u64) -> Result<Vec<Entry>, Refusal> {
    let Some(used) = stride::used(section, stride) else {
        return Err(bad(section, format!("{} bytes are no whole number of {stride}-byte entries", section.size)));
    };
    let mut all = Vec::with_capacity((section.size / stride) as usize + 1);
    let mut start = 0;
    while start < section.size {
        let entry = Entry { section: id, range: start..start + used, stride };
        if row.code_of(section, &entry).is_none() {
            let n = start / stride;
            return Err(bad(section, format!("entry {n} (offset {start:#x}, {stride} bytes an entry) names no code")));
        }
        all.push(entry);
        start += stride;
    }
    Ok(all)
}

/// Places in section `id` that the relocations of `from` lead to, sorted, the start of the section among them.
fn places(object: &Object, id: SecId, from: impl Fn(&Section) -> bool) -> Vec<u64> {
    let section = &object.sections[id];
    let mut starts = Vec::new();
    for s in object.sections.iter().filter(|s| s.is_alloc() && !std::ptr::eq(*s, section) && from(s)) {
        starts.extend(places_from(object, id, s, 0..s.size));
    }
    sorted(section, starts)
}

/// Places in section `id` that the relocations of a piece of `from`, a function or an entry, lead to.
fn places_from(object: &Object, id: SecId, from: &Section, around: Range<u64>) -> Vec<u64> {
    let there = from.relocs_in(around.clone()).iter().filter(|r| object.symbols[r.symbol].section() == Some(id));
    there
        .filter(|r| !object.arch.names_nothing(from, around.clone(), r))
        .map(|r| {
            let raw = object.symbols[r.symbol].value.wrapping_add_signed(r.addend);
            raw.wrapping_add_signed(object.arch.bias(from, around.clone(), r))
        })
        .collect()
}

fn sorted(section: &Section, mut starts: Vec<u64>) -> Vec<u64> {
    starts.push(0);
    starts.retain(|&start| start < section.size);
    starts.sort_unstable();
    starts.dedup();
    starts
}

fn pieces(id: SecId, starts: &[u64], end: u64) -> Vec<Entry> {
    let ends = starts.iter().copied().skip(1).chain([end]);
    starts.iter().zip(ends).map(|(&start, end)| Entry { section: id, range: start..end, stride: 0 }).collect()
}

/// The pieces of `.altinstr_replacement`: each begins where an entry of `table` points to.
fn replacements(object: &Object, id: SecId, table: &str) -> Vec<Entry> {
    let starts = places(object, id, |s| s.name == table);
    pieces(id, &starts, object.sections[id].size)
}

/// The pieces of `.fixup` and its like: each begins where code or `table` points to. What runs on into the
/// next piece is one with it.
fn out_of_line(object: &Object, id: SecId, table: &str) -> Vec<Entry> {
    let section = &object.sections[id];
    let starts = places(object, id, |s| s.is_text() || s.name == table);
    let mut kept: Vec<u64> = Vec::new();
    for start in starts {
        let runs_on = kept.last().is_some_and(|&before| object.arch.runs_on(section, before..start));
        if !runs_on {
            kept.push(start);
        }
    }
    pieces(id, &kept, section.size)
}

/// The pieces of `__ftr_alt_*`: each begins where a feature fixup's alternative does.
fn alternatives(object: &Object, id: SecId, of: &CStruct, layouts: &Layouts) -> Vec<Entry> {
    let section = &object.sections[id];
    let mut starts = Vec::new();
    for (from, s) in object.sections.iter().enumerate() {
        if !holds(&s.name, of) {
            continue;
        }
        // A table that cannot be cut is refused by itself.
        for entry in entries(object, from, layouts, &mut Vec::new()).unwrap_or_default() {
            starts.extend(places_from(object, id, s, entry.range).into_iter().min());
        }
    }
    pieces(id, &sorted(section, starts), section.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::ppc64le::PPC64LE;
    use crate::arch::Arch;
    use crate::elf::{Bind, Place, SymKind, Symbol, SHF_ALLOC, SHF_EXECINSTR};

    fn section(name: &str, flags: u32, size: u64) -> Section {
        let data = vec![0; size as usize];
        Section { name: name.into(), flags: u64::from(SHF_ALLOC | flags), size, data, align: 4, ..Section::default() }
    }

    /// Code in section 1, alternatives in section 2, and a table of entries: begin and end of code and alternative.
    fn object(entries: &[[i64; 4]]) -> Object {
        let rel64 = (0..256).find(|&kind| PPC64LE.reloc_name(kind) == "R_PPC64_REL64").unwrap();
        let mut table = section("__ftr_fixup", 0, 48 * entries.len() as u64);
        for (n, places) in entries.iter().enumerate() {
            for (field, &place) in (0i64..).zip(places) {
                let (within, symbol) = (16 + 8 * field, 1 + field as usize / 2);
                let offset = 48 * n as u64 + within as u64;
                table.relocs.push(Reloc { offset, kind: rel64, symbol, addend: place + within });
            }
        }
        let symbol = |home| Symbol {
            name: String::new(),
            kind: SymKind::Section,
            bind: Bind::Local,
            place: Place::In(home),
            value: 0,
            size: 0,
            other: 0,
        };
        Object {
            arch: &PPC64LE,
            flags: 2,
            sections: vec![
                Section::default(),
                section(".text", SHF_EXECINSTR, 64),
                section("__ftr_alt_97", 0, 20),
                table,
            ],
            symbols: vec![symbol(0), symbol(1), symbol(2)],
        }
    }

    fn ranges(object: &Object, id: SecId, layouts: &str) -> Result<Vec<Range<u64>>, Refusal> {
        let found = entries(object, id, &Layouts::parse(layouts).unwrap(), &mut Vec::new())?;
        Ok(found.into_iter().map(|entry| entry.range).collect())
    }

    #[test]
    fn feature_fixups_and_their_alternatives() {
        // The second alternative is empty.
        let object = object(&[[0, 8, 0, 8], [8, 12, 8, 8], [12, 24, 8, 20]]);
        assert_eq!(ranges(&object, 3, "fixup_entry=48").unwrap(), [0..48, 48..96, 96..144]);
        assert_eq!(ranges(&object, 2, "fixup_entry=48").unwrap(), [0..8, 8..20]);
        assert_eq!(ranges(&object, 3, "fixup_entry=24").unwrap(), [0..48, 48..96, 96..144], "the relocations show it");
        assert_eq!(ranges(&object, 3, "").unwrap_err().code, "unknown-entry-size");
        let code = row_of("__ftr_fixup").unwrap();
        let entry = Entry { section: 3, range: 48..96, stride: 48 };
        assert_eq!(code.code_of(&object.sections[3], &entry).unwrap().offset, 64);
    }
}
