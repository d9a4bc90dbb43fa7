// SPDX-License-Identifier: GPL-2.0-or-later
//! Special sections: arrays in which each entry tells the kernel something about one place in the code.
//! One table says which there are; [`entries`] cuts a section into its entries.
//!
//! Sources: include/asm-generic/bug.h, arch/x86/include/asm/{alternative,jump_label,extable}.h,
//! include/linux/{jump_label,static_call_types,objtool}.h, scripts/sorttable.h, kernel/trace/ftrace.c;
//! arch/powerpc/include/asm/{feature-fixups,synch,barrier,bug,extable,jump_label}.h.

pub mod bounds;
pub mod known;
pub mod layout;
pub mod marks;
pub mod storage;
mod stride;

use crate::elf::{Object, Reloc, SecId, Section};
use crate::error::Refusal;
use layout::Layouts;
use std::ops::Range;

/// How long an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// `sizeof` of this C struct, as the target's BTF, the object's DWARF or the command line says.
    Struct(&'static str),
    /// One relocated field an entry: size divided by the number of relocations.
    PerReloc,
    /// From one place that `.altinstructions` names to the next.
    Replacements,
    /// From one place that an entry of a feature fixup table names to the next.
    Alternatives,
    /// Code that is apart from its function: from one place that others refer to, to the next.
    OutOfLine,
}

/// What happens to the entries of a changed function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They go along.
    Keep,
    /// They go along where something that goes along refers to them.
    Referenced,
    /// objtool makes them anew when the module is linked.
    MadeByObjtool,
    /// They tell build tools something that is no longer needed.
    Dropped,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// Section name; a trailing `*` stands for any end.
    pub name: &'static str,
    /// Entry size.
    pub size: Size,
    /// What happens to its entries.
    pub fate: Fate,
    /// Offset of the field that names the code, bytes from the start of an entry.
    pub code: u64,
    /// The name that the module loader looks for, where it is another.
    pub goes_as: Option<&'static str>,
}

const fn row(name: &'static str, size: Size, fate: Fate) -> Row {
    Row { name, size, fate, code: 0, goes_as: None }
}

/// A table of struct fixup_entry (arch/powerpc/lib/feature-fixups.c): mask and value come first.
const fn feature_fixups(name: &'static str) -> Row {
    Row { code: 16, ..row(name, Size::Struct("fixup_entry"), Fate::Keep) }
}

/// The special sections that kmend knows.
pub const TABLE: &[Row] = &[
    row("__bug_table", Size::Struct("bug_entry"), Fate::Keep),
    row("__ex_table", Size::Struct("exception_table_entry"), Fate::Keep),
    row("__jump_table", Size::Struct("jump_entry"), Fate::Keep),
    row(".static_call_sites", Size::Struct("static_call_site"), Fate::Keep),
    row(".altinstructions", Size::Struct("alt_instr"), Fate::Keep),
    row(".altinstr_replacement", Size::Replacements, Fate::Referenced),
    row(".parainstructions", Size::Struct("paravirt_patch_site"), Fate::Keep),
    row(".smp_locks", Size::PerReloc, Fate::Keep),
    row(".fixup", Size::OutOfLine, Fate::Referenced),
    row(".altinstr_aux", Size::OutOfLine, Fate::Referenced),
    feature_fixups("__ftr_fixup"),
    feature_fixups("__mmu_ftr_fixup"),
    feature_fixups("__fw_ftr_fixup"),
    row("__ftr_alt_*", Size::Alternatives, Fate::Referenced),
    row("__lwsync_fixup", Size::PerReloc, Fate::Keep),
    // NOSPEC_BARRIER_FIXUP_SECTION fills __barrier_nospec_fixup, and the linker script of the kernel gathers that into
    // __spec_barrier_fixup, but none does so for modules, where module_finalize() looks for the gathered name alone
    // (arch/powerpc/kernel/module.c and vmlinux.lds.S, from 4.19 to 7.3 at least).
    Row { goes_as: Some("__spec_barrier_fixup"), ..row("__barrier_nospec_fixup", Size::PerReloc, Fate::Keep) },
    row("__spec_barrier_fixup", Size::PerReloc, Fate::Keep),
    row("__mcount_loc", Size::PerReloc, Fate::Keep),
    row("__patchable_function_entries", Size::PerReloc, Fate::Keep),
    row(".kcfi_traps", Size::PerReloc, Fate::Keep),
    row(".discard.annotate_data", Size::PerReloc, Fate::Dropped),
    row(".discard.addressable", Size::PerReloc, Fate::Dropped),
    row(".discard.sym_checksum", Size::PerReloc, Fate::Dropped),
    // What the author wants to be called: diff/callbacks.rs reads it.
    row(".discard.klp_callback_ptrs", Size::PerReloc, Fate::Dropped),
    row(".discard.*", Size::PerReloc, Fate::Keep),
    row(".orc_unwind", Size::Struct("orc_entry"), Fate::MadeByObjtool),
    row(".orc_unwind_ip", Size::PerReloc, Fate::MadeByObjtool),
    row(".orc_header", Size::PerReloc, Fate::MadeByObjtool),
    row(".retpoline_sites", Size::PerReloc, Fate::MadeByObjtool),
    row(".return_sites", Size::PerReloc, Fate::MadeByObjtool),
    row(".call_sites", Size::PerReloc, Fate::MadeByObjtool),
    row(".cfi_sites", Size::PerReloc, Fate::MadeByObjtool),
    row(".ibt_endbr_seal", Size::PerReloc, Fate::MadeByObjtool),
    row(".printk_index", Size::PerReloc, Fate::Dropped),
];

/// The table's row for a section of this name.
pub fn row_of(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| match row.name.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == row.name,
    })
}

impl Row {
    /// The reference to the code that an entry is about.
    pub fn code_of<'s>(&self, section: &'s Section, entry: &Entry) -> Option<&'s Reloc> {
        let at = entry.range.start + self.code;
        section.relocs_in(at..at + 1).first()
    }
}

/// The name of the section that entries of the section `name` go into.
pub fn name_in_live_patch(name: &str) -> &str {
    row_of(name).and_then(|row| row.goes_as).unwrap_or(name)
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
        Size::Replacements => Ok(replacements(object, id)),
        Size::OutOfLine => Ok(out_of_line(object, id)),
        Size::Alternatives => Ok(alternatives(object, id, layouts)),
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
        Size::Struct(name) => {
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

/// The pieces of `.altinstr_replacement`: each begins where an `.altinstructions` entry points to.
fn replacements(object: &Object, id: SecId) -> Vec<Entry> {
    let starts = places(object, id, |s| s.name == ".altinstructions");
    pieces(id, &starts, object.sections[id].size)
}

/// The pieces of `.fixup` and its like: each begins where code or a table points to. What runs on into the
/// next piece is one with it.
fn out_of_line(object: &Object, id: SecId) -> Vec<Entry> {
    let section = &object.sections[id];
    let starts = places(object, id, |s| s.is_text() || s.name == "__ex_table");
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
fn alternatives(object: &Object, id: SecId, layouts: &Layouts) -> Vec<Entry> {
    let section = &object.sections[id];
    let mut starts = Vec::new();
    for (from, s) in object.sections.iter().enumerate() {
        if !row_of(&s.name).is_some_and(|row| row.size == Size::Struct("fixup_entry")) {
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

    #[test]
    fn names_for_the_loader() {
        assert_eq!(name_in_live_patch("__barrier_nospec_fixup"), "__spec_barrier_fixup");
        assert_eq!(name_in_live_patch("__lwsync_fixup"), "__lwsync_fixup");
        assert_eq!(name_in_live_patch(".text.f"), ".text.f");
        // What such a row calls itself is a row of the table, too.
        assert!(TABLE.iter().filter_map(|row| row.goes_as).all(|name| row_of(name).is_some()));
    }
}
