// SPDX-License-Identifier: GPL-2.0-or-later
//! ppc64le: relocations (64-Bit ELF V2 ABI Specification, Power Architecture, table 3.15), branches, the TOC,
//! ftrace sites.

mod accesses;
mod branches;
mod disasm;
mod insn;
mod lines;
mod link_edits;
#[cfg(test)]
mod linked_tests;
mod module;
mod references;
mod rust_flags;
#[cfg(test)]
mod tests;
mod transplant;

use super::linked::{Linked, Target};
use super::{later, Access, Arch, Field, LineArgument, LocalBranch, Transplant};
use crate::arch::line::{Ask, Line};
use crate::elf::{Object, Reloc, SecId, Section, Symbol};
use crate::section_table::{holds, FIXUP_ENTRY, MCOUNT_LOC, PATCHABLE_ENTRIES};
use anyhow::{bail, ensure, Result};
use branches::{ends, flow, instructions, is_filler, local_entry, Flow, INSTRUCTION};
use object::elf;
use std::ops::Range;

/// The architecture.
#[derive(Debug)]
pub struct Power;

/// The one instance.
pub static PPC64LE: Power = Power;

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
    (elf::R_PPC64_TOC, "R_PPC64_TOC", Field::Absolute { bytes: 8 }),
    // Markers for the linker; the instruction that they are at is complete.
    (elf::R_PPC64_TOCSAVE, "R_PPC64_TOCSAVE", Field::None),
    (R_PPC64_ENTRY, "R_PPC64_ENTRY", Field::None),
];

/// Marks the entry of a large-model function (binutils, include/elf/ppc64.h).
const R_PPC64_ENTRY: u32 = 118;

/// Bytes of the distance to the TOC that is before a large-model function.
const TOC_DISTANCE: u64 = 8;
/// `st_other` of a function whose local entry is behind the two instructions that make r2.
const BEHIND_TWO: u8 = 3 << 5;

/// Types that compilers emit under CONFIG_PPC_KERNEL_PCREL alone (power10; binutils, include/elf/ppc64.h). They
/// are known by name and no more: code without a TOC pointer calls by other rules.
const OF_PCREL_KERNELS: &[(u32, &str)] =
    &[(R_PPC64_REL24_NOTOC, "R_PPC64_REL24_NOTOC"), (132, "R_PPC64_PCREL34"), (133, "R_PPC64_GOT_PCREL34")];
const R_PPC64_REL24_NOTOC: u32 = 116;

const ELFV1: &str = "an ELFv1 object (function descriptors in .opd); kmend knows ELFv2, the ABI of ppc64le, only";

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
            1 => bail!(ELFV1),
            _ => bail!("e_flags {flags:#x} name no powerpc ABI that kmend knows (ELFv2)"),
        }
    }

    fn check_section(&self, name: &str) -> Result<()> {
        // Compilers do not mark ELFv1 in e_flags.
        ensure!(name != ".opd", ELFV1);
        Ok(())
    }

    fn field(&self, kind: u32) -> Option<Field> {
        TYPES.iter().find(|t| t.0 == kind).map(|t| t.2)
    }

    fn reloc_name(&self, kind: u32) -> String {
        let known = TYPES.iter().map(|t| (t.0, t.1)).chain(OF_PCREL_KERNELS.iter().copied());
        known.into_iter().find(|t| t.0 == kind).map_or_else(|| format!("R_PPC64 type {kind}"), |t| t.1.into())
    }

    fn rust_flags(&self, c: &[String]) -> Result<Vec<String>> {
        rust_flags::rust_flags(c)
    }

    fn clang_flags(&self) -> &'static [&'static str] {
        // For gcc alone, asm-compat.h has operands of inline assembler that clang refuses.
        &["--target=powerpc64le-linux-gnu", "-DCONFIG_CC_IS_CLANG=1"]
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

    fn bias(&self, section: &Section, around: Range<u64>, reloc: &Reloc) -> i64 {
        if !is_feature_fixup(section, reloc) {
            return 0;
        }
        let to_entry = -(reloc.offset.wrapping_sub(around.start) as i64);
        match piece_of(section, around, reloc) {
            // An end belongs to the instruction before it, not to what may begin there.
            Some((CODE_END | ALTERNATIVE_END, length)) if length != Some(0) => to_entry - INSTRUCTION as i64,
            _ => to_entry,
        }
    }

    fn names_nothing(&self, section: &Section, entry: Range<u64>, reloc: &Reloc) -> bool {
        is_feature_fixup(section, reloc)
            && matches!(piece_of(section, entry, reloc), Some((ALTERNATIVE | ALTERNATIVE_END, Some(0))))
    }

    fn local_branches(&self, section: &Section, range: Range<u64>) -> Option<Vec<LocalBranch>> {
        if !range.start.is_multiple_of(INSTRUCTION) {
            return None;
        }
        let mut found = Vec::new();
        for (at, word) in instructions(section, range.clone()) {
            let (to, width, call) = match flow(word) {
                Flow::Branch { to: Some(to), link } => (to, 4, link),
                // Fourteen bits of distance, which the module loader does not relocate.
                Flow::Conditional { to: Some(to), link, .. } => (to, 2, link),
                _ => continue,
            };
            let relocated = section.relocs_in(at..at + INSTRUCTION).iter().any(|r| is_branch(r.kind));
            let target = at.checked_add_signed(to)?;
            if !relocated && !range.contains(&target) {
                found.push(LocalBranch { field: at, target, width, call });
            }
        }
        Some(found)
    }

    fn leaves(&self, section: &Section, range: Range<u64>, stays: &dyn Fn(&Reloc) -> bool) -> bool {
        if !range.start.is_multiple_of(INSTRUCTION) {
            return true;
        }
        instructions(section, range.clone()).any(|(at, word)| match flow(word) {
            Flow::Branch { link: true, .. }
            | Flow::Conditional { link: true, .. }
            | Flow::Indirect { link: true, .. } => false,
            Flow::Branch { to, .. } | Flow::Conditional { to, .. } => {
                let relocs = section.relocs_in(at..at + INSTRUCTION).iter();
                let mut relocs = relocs.filter(|r| is_branch(r.kind)).peekable();
                match relocs.peek() {
                    Some(_) => !relocs.all(stays),
                    None => !to.and_then(|to| at.checked_add_signed(to)).is_some_and(|to| range.contains(&to)),
                }
            }
            Flow::Indirect { .. } | Flow::Return => true,
            Flow::Next | Flow::System | Flow::Trap => false,
        })
    }

    fn accesses(&self, section: &Section, function: Range<u64>) -> Vec<(u64, Access)> {
        accesses::accesses(section, function)
    }

    fn later(&self, section: &Section, function: Range<u64>) -> Vec<later::Use> {
        later::uses(&accesses::steps(section, function), &accesses::ARGUMENTS)
    }

    fn branch_at(&self, section: &Section, reloc: &Reloc) -> Option<(u64, bool)> {
        // Field and instruction begin together; the lowest bit links.
        let word = section.bytes(reloc.offset..reloc.offset + 4).first()?;
        matches!(reloc.kind, elf::R_PPC64_REL24 | elf::R_PPC64_REL14).then_some((reloc.offset, word & 1 == 1))
    }

    fn branch_addend(&self, distance: i64) -> i64 {
        distance
    }

    fn entered(&self, kind: u32, symbol: &Symbol) -> i64 {
        // The linker, and local_entry_offset() in arch/powerpc/kernel/module_64.c.
        if is_branch(kind) {
            local_entry(symbol) as i64
        } else {
            0
        }
    }

    fn reaches_kernel(&self, kind: u32, addend: i64) -> bool {
        // The way there is a stub, which enters functions at the start; none is made for conditional branches.
        !is_branch(kind) || kind == elf::R_PPC64_REL24 && addend == 0
    }

    fn spans_modules(&self, kind: u32) -> bool {
        // Modules are in the vmalloc area, 2^51 bytes from the kernel, and the module loader does not ask whether a distance fits
        // into 32 bits (arch/powerpc/kernel/module_64.c, apply_relocate_add).
        kind != elf::R_PPC64_REL32
    }

    fn is_padding(&self, section: &Section, range: Range<u64>) -> bool {
        let bytes = section.bytes(range.clone());
        let fills = |word: &[u8]| match word.try_into() {
            Ok(word) => is_filler(u32::from_le_bytes(word)),
            Err(_) => word.iter().all(|&byte| byte == 0),
        };
        section.relocs_in(range).is_empty() && bytes.chunks(INSTRUCTION as usize).all(fills)
    }

    fn line_arguments(&self, section: &Section, range: Range<u64>, relocs: &[Reloc]) -> Vec<LineArgument> {
        lines::arguments(instructions(section, range), relocs)
    }

    fn runs_on(&self, section: &Section, range: Range<u64>) -> bool {
        let end = range.end;
        instructions(section, range).last().is_none_or(|(at, word)| at + INSTRUCTION != end || !ends(word))
    }

    fn entry_of(&self, object: &Object, section: SecId) -> (u64, u8) {
        let relocs = &object.sections[section].relocs;
        let toc = |r: &Reloc| self.is_linker_symbol(&object.symbols[r.symbol].name);
        // The large model has the distance to the TOC before the entry, the medium one makes it there.
        let before = relocs.iter().any(|r| r.offset == 0 && r.kind == elf::R_PPC64_REL64 && toc(r));
        let entry = if before { TOC_DISTANCE } else { 0 };
        let makes_r2 =
            |r: &&Reloc| r.offset == entry && (r.kind == R_PPC64_ENTRY || r.kind == elf::R_PPC64_REL16_HA && toc(r));
        (entry, if relocs.iter().any(|r| makes_r2(&r)) { BEHIND_TWO } else { 0 })
    }

    fn has_ftrace_site(&self, object: &Object, section: usize, entry: u64, end: u64) -> bool {
        // At the local entry one nop (with stubs out of line) or two, listed in __patchable_function_entries; or
        // `mflr 0; bl _mcount`, between which old compilers put `std 0,16(1)`, listed in __mcount_loc when
        // recordmcount has run (arch/powerpc/kernel/trace/ftrace.c, arch/powerpc/Makefile).
        let here = object.symbols.iter().filter(|s| s.section() == Some(section) && s.value == entry);
        let local = entry + here.map(local_entry).max().unwrap_or(0);
        let near = entry..end.min(local + 3 * INSTRUCTION);
        let by_call = object.sections[section]
            .relocs_in(near.clone())
            .iter()
            .any(|r| r.kind == elf::R_PPC64_REL24 && object.symbols[r.symbol].name == "_mcount");
        let lists = [PATCHABLE_ENTRIES, MCOUNT_LOC];
        by_call
            || object.sections.iter().filter(|s| lists.contains(&s.name.as_str())).flat_map(|s| &s.relocs).any(|r| {
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

    fn is_constant_pool(&self, section: &str) -> bool {
        // gcc/config/rs6000: what is relocated is no read-only section. With -fdata-sections variables have others.
        section == ".data"
    }

    fn is_toc(&self, section: &str) -> bool {
        section == ".toc"
    }

    fn is_linker_symbol(&self, name: &str) -> bool {
        name == ".TOC."
    }

    fn transplant(&self) -> Option<&'static dyn Transplant> {
        Some(&transplant::Nops)
    }

    fn module_faults(&self, object: &Object) -> Vec<String> {
        module::faults(object)
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

    fn disassemble(&self, code: &[u8], at: u64, name: &mut dyn FnMut(Ask) -> Option<String>) -> Vec<Line> {
        disasm::lines(code, at, name)
    }

    fn trap(&self) -> &'static [u8] {
        // trap (tw 31,0,0)
        &[0x08, 0x00, 0xe0, 0x7f]
    }
}

/// Whether a relocation is in a struct fixup_entry: mask, value, then four distances from the start of the entry
/// (arch/powerpc/include/asm/feature-fixups.h, MAKE_FTR_SECTION_ENTRY).
fn is_feature_fixup(section: &Section, reloc: &Reloc) -> bool {
    reloc.kind == elf::R_PPC64_REL64 && holds(&section.name, &FIXUP_ENTRY)
}

// The fields of struct fixup_entry that are references, in order; the first names the beginning of the code.
const CODE_END: usize = 1;
const ALTERNATIVE: usize = 2;
const ALTERNATIVE_END: usize = 3;

/// Which field of the struct fixup_entry at `entry` a relocation is for, and how long the code is that this field
/// and its neighbour name the ends of, where that is known.
fn piece_of(section: &Section, entry: Range<u64>, reloc: &Reloc) -> Option<(usize, Option<i64>)> {
    let fields = section.relocs_in(entry);
    let n = fields.iter().position(|r| r.offset == reloc.offset)?;
    let length = match fields.get(n & !1..=n | 1) {
        // Both distances count from the start of the entry, but both addends from their own fields.
        Some([begin, end]) if begin.symbol == end.symbol => {
            let apart = end.offset.wrapping_sub(begin.offset) as i64;
            Some(end.addend.wrapping_sub(begin.addend).wrapping_sub(apart))
        }
        _ => None,
    };
    Some((n, length))
}

/// True for a type whose field is the distance of a branch.
fn is_branch(kind: u32) -> bool {
    matches!(kind, elf::R_PPC64_REL24 | elf::R_PPC64_REL14 | R_PPC64_REL24_NOTOC)
}
