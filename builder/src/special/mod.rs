// SPDX-License-Identifier: GPL-2.0-or-later
//! Special sections: arrays in which each entry tells the kernel something about one place in the code.
//! One table says which there are; [`entries`] cuts a section into its entries.
//!
//! Sources: include/asm-generic/bug.h, arch/x86/include/asm/{alternative,jump_label,extable}.h,
//! include/linux/{jump_label,static_call_types,objtool}.h, scripts/sorttable.h, kernel/trace/ftrace.c.

pub mod layout;

use crate::elf::{Object, SecId};
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
    /// True where the entry's own bytes hold nothing but line numbers and flags beside its references,
    /// so that a difference in them is no change of the function.
    pub bytes_are_noise: bool,
}

const fn row(name: &'static str, size: Size, fate: Fate) -> Row {
    Row { name, size, fate, bytes_are_noise: false }
}

/// The special sections that kmend knows. The first relocation of an entry names the code.
pub const TABLE: &[Row] = &[
    Row { name: "__bug_table", size: Size::Struct("bug_entry"), fate: Fate::Keep, bytes_are_noise: true },
    row("__ex_table", Size::Struct("exception_table_entry"), Fate::Keep),
    row("__jump_table", Size::Struct("jump_entry"), Fate::Keep),
    row(".static_call_sites", Size::Struct("static_call_site"), Fate::Keep),
    row(".altinstructions", Size::Struct("alt_instr"), Fate::Keep),
    row(".altinstr_replacement", Size::Replacements, Fate::Referenced),
    row(".parainstructions", Size::Struct("paravirt_patch_site"), Fate::Keep),
    row(".smp_locks", Size::PerReloc, Fate::Keep),
    row("__mcount_loc", Size::PerReloc, Fate::Keep),
    row("__patchable_function_entries", Size::PerReloc, Fate::Keep),
    row(".kcfi_traps", Size::PerReloc, Fate::Keep),
    row(".discard.annotate_data", Size::PerReloc, Fate::Dropped),
    row(".discard.addressable", Size::PerReloc, Fate::Dropped),
    row(".discard.sym_checksum", Size::PerReloc, Fate::Dropped),
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

/// One entry of a special section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section.
    pub section: SecId,
    /// Its bytes in the section.
    pub range: Range<u64>,
}

/// Cuts the special section `id` into entries.
///
/// # Errors
/// A refusal where the entry size is unknown or does not divide the section, or an entry names no code.
pub fn entries(object: &Object, id: SecId, layouts: &Layouts) -> Result<Vec<Entry>, Refusal> {
    let section = &object.sections[id];
    let Some(row) = row_of(&section.name) else { return Ok(Vec::new()) };
    if section.size == 0 {
        return Ok(Vec::new());
    }
    let size = match row.size {
        Size::Replacements => return Ok(replacements(object, id)),
        Size::PerReloc => match section.relocs.len() as u64 {
            0 => 0,
            n => section.size / n,
        },
        Size::Struct(name) => match layouts.size(name).or((section.entsize > 0).then_some(section.entsize)) {
            Some(size) => size,
            None => {
                return Err(Refusal::new(
                    "unknown-entry-size",
                    "",
                    &section.name,
                    format!("the size of struct {name} is not known: neither BTF, DWARF nor the section header has it"),
                    &format!("give it with --layout {name}=BYTES, or compile with debug information"),
                ))
            }
        },
    };
    let bad = |why: String| {
        Err(Refusal::new(
            "bad-special-section",
            "",
            &section.name,
            why,
            "check that the entry size (--layout, BTF or DWARF) is that of the kernel this object was compiled for",
        ))
    };
    if size == 0 || section.size % size != 0 {
        return bad(format!("{} bytes are no whole number of {size}-byte entries", section.size));
    }
    let mut all = Vec::with_capacity((section.size / size) as usize);
    for n in 0..section.size / size {
        let range = n * size..(n + 1) * size;
        if section.relocs_in(range.start..range.start + 1).is_empty() {
            return bad(format!("entry {n} (offset {:#x}, {size} bytes an entry) names no code", range.start));
        }
        all.push(Entry { section: id, range });
    }
    Ok(all)
}

/// The pieces of `.altinstr_replacement`: each begins where an `.altinstructions` entry points to.
fn replacements(object: &Object, id: SecId) -> Vec<Entry> {
    let section = &object.sections[id];
    let mut starts: Vec<u64> = object
        .sections
        .iter()
        .filter(|s| s.name == ".altinstructions")
        .flat_map(|s| &s.relocs)
        .filter(|r| object.symbols[r.symbol].section() == Some(id))
        .map(|r| object.symbols[r.symbol].value.wrapping_add_signed(r.addend))
        .filter(|&start| start < section.size)
        .collect();
    starts.push(0);
    starts.push(section.size);
    starts.sort_unstable();
    starts.dedup();
    starts.windows(2).map(|pair| Entry { section: id, range: pair[0]..pair[1] }).collect()
}
