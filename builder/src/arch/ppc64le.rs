// SPDX-License-Identifier: GPL-2.0-or-later
//! ppc64le: relocations (64-Bit ELF V2 ABI Specification, Power Architecture, table 3.15), branches, the TOC,
//! ftrace sites.

mod insn;
mod link_edits;
#[cfg(test)]
mod linked_tests;
mod references;

use super::linked::{Linked, Target};
use super::{Arch, Field, LineArgument, LocalBranch};
use crate::elf::{Object, Reloc, Section};
use anyhow::{bail, Result};
use object::elf;
use std::ops::Range;

/// The architecture.
#[derive(Debug)]
pub struct Power;

/// The one instance.
pub static PPC64LE: Power = Power;

/// `nop` (`ori 0,0,0`).
pub const NOP: u32 = 0x6000_0000;

/// The types that the kernel's module loader applies (arch/powerpc/kernel/module_64.c, apply_relocate_add), and
/// those besides that compilers emit for the kernel image.
const TYPES: &[(u32, &str, Field)] = &[
    (elf::R_PPC64_NONE, "R_PPC64_NONE", Field::None),
    (elf::R_PPC64_ADDR64, "R_PPC64_ADDR64", Field::Absolute { bytes: 8 }),
    (elf::R_PPC64_ADDR32, "R_PPC64_ADDR32", Field::Absolute { bytes: 4 }),
    (elf::R_PPC64_REL64, "R_PPC64_REL64", Field::Relative { bytes: 8 }),
    (elf::R_PPC64_REL32, "R_PPC64_REL32", Field::Relative { bytes: 4 }),
    (elf::R_PPC64_REL24, "R_PPC64_REL24", Field::Part { bytes: 4, mask: 0x03ff_fffc }),
    (elf::R_PPC64_REL14, "R_PPC64_REL14", Field::Part { bytes: 4, mask: 0x0000_fffc }),
    (elf::R_PPC64_TOC16, "R_PPC64_TOC16", Field::Part { bytes: 2, mask: 0xffff }),
    (elf::R_PPC64_TOC16_LO, "R_PPC64_TOC16_LO", Field::Part { bytes: 2, mask: 0xffff }),
    (elf::R_PPC64_TOC16_HI, "R_PPC64_TOC16_HI", Field::Part { bytes: 2, mask: 0xffff }),
    (elf::R_PPC64_TOC16_HA, "R_PPC64_TOC16_HA", Field::Part { bytes: 2, mask: 0xffff }),
    (elf::R_PPC64_TOC16_DS, "R_PPC64_TOC16_DS", Field::Part { bytes: 2, mask: 0xfffc }),
    (elf::R_PPC64_TOC16_LO_DS, "R_PPC64_TOC16_LO_DS", Field::Part { bytes: 2, mask: 0xfffc }),
    (elf::R_PPC64_REL16_LO, "R_PPC64_REL16_LO", Field::Part { bytes: 2, mask: 0xffff }),
    (elf::R_PPC64_REL16_HA, "R_PPC64_REL16_HA", Field::Part { bytes: 2, mask: 0xffff }),
    // Markers for the linker; the instruction that they stand at is complete.
    (elf::R_PPC64_TOC, "R_PPC64_TOC", Field::Absolute { bytes: 8 }),
    (elf::R_PPC64_TOCSAVE, "R_PPC64_TOCSAVE", Field::None),
    (R_PPC64_ENTRY, "R_PPC64_ENTRY", Field::None),
];

/// Marks the entry of a large-model function (binutils, include/elf/ppc64.h).
const R_PPC64_ENTRY: u32 = 118;

impl Arch for Power {
    fn name(&self) -> &'static str {
        "ppc64le"
    }

    fn machine(&self) -> u16 {
        elf::EM_PPC64
    }

    fn check_flags(&self, flags: u32) -> Result<()> {
        // EF_PPC64_ABI; 0 where the assembler was not told, which on little-endian means ELFv2.
        match flags & 3 {
            0 | 2 => Ok(()),
            1 => bail!("an ELFv1 object (function descriptors in .opd); kmend knows ELFv2, the ABI of ppc64le, only"),
            _ => bail!("e_flags {flags:#x} name no powerpc ABI that kmend knows (ELFv2)"),
        }
    }

    fn field(&self, kind: u32) -> Option<Field> {
        TYPES.iter().find(|t| t.0 == kind).map(|t| t.2)
    }

    fn reloc_name(&self, kind: u32) -> String {
        TYPES.iter().find(|t| t.0 == kind).map_or_else(|| format!("R_PPC64 type {kind}"), |t| t.1.into())
    }

    fn call_reloc(&self) -> u32 {
        elf::R_PPC64_REL24
    }

    fn relative_reloc(&self) -> u32 {
        elf::R_PPC64_REL32
    }

    fn pointer_reloc(&self) -> u32 {
        elf::R_PPC64_ADDR64
    }

    fn same_reloc(&self, a: u32, b: u32) -> bool {
        a == b
    }

    fn bias(&self, _section: &Section, _around: Range<u64>, _reloc: &Reloc) -> i64 {
        0
    }

    fn local_branches(&self, _section: &Section, _range: Range<u64>) -> Option<Vec<LocalBranch>> {
        None
    }

    fn branch_addend(&self, distance: i64) -> i64 {
        distance
    }

    fn is_padding(&self, section: &Section, range: Range<u64>) -> bool {
        section.relocs_in(range.clone()).is_empty()
            && section.bytes(range).chunks(4).all(|word| word == NOP.to_le_bytes() || word.iter().all(|&b| b == 0))
    }

    fn line_arguments(&self, _section: &Section, _range: Range<u64>, _relocs: &[Reloc]) -> Vec<LineArgument> {
        Vec::new()
    }

    fn runs_on(&self, _section: &Section, _range: Range<u64>) -> bool {
        true
    }

    fn has_ftrace_site(&self, object: &Object, section: usize, entry: u64, end: u64) -> bool {
        // A place in __patchable_function_entries at the local entry.
        let near = entry..end.min(entry + 20);
        object.sections.iter().filter(|m| m.name == "__patchable_function_entries").flat_map(|m| &m.relocs).any(|r| {
            let symbol = &object.symbols[r.symbol];
            symbol.section() == Some(section) && near.contains(&symbol.value.wrapping_add_signed(r.addend))
        })
    }

    fn is_disabled_jump(&self, _mine: &[u8], _theirs: &[u8]) -> Option<usize> {
        None
    }

    fn is_tracing_symbol(&self, name: &str) -> bool {
        name == "_mcount"
    }

    fn is_toc(&self, section: &str) -> bool {
        section == ".toc"
    }

    fn is_linker_symbol(&self, name: &str) -> bool {
        name == ".TOC."
    }

    fn relative_dynamic(&self) -> u32 {
        elf::R_PPC64_RELATIVE
    }

    fn data_base(&self, code: &[u8], at: u64) -> Option<u64> {
        insn::toc_setup(code, at)
    }

    fn undo_link_edits(&self, linked: &Linked<'_>) -> Option<Vec<u8>> {
        link_edits::undo(linked)
    }

    fn part_target(&self, linked: &Linked<'_>, reloc: &Reloc) -> Result<Target, String> {
        references::target(linked, reloc)
    }

    fn lead_in(&self, section: &Section, entry: u64) -> u64 {
        // .quad .TOC.-f; f: ld r2,-8(r12)
        let large = section.relocs_in(entry..entry.saturating_add(1)).iter().any(|r| r.kind == R_PPC64_ENTRY);
        if large && entry >= 8 {
            8
        } else {
            0
        }
    }

    fn trap(&self) -> &'static [u8] {
        // trap (tw 31,0,0)
        &[0x08, 0x00, 0xe0, 0x7f]
    }
}
