// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of what ppc64le makes of small pieces of code and tables.

use super::*;
use crate::elf::{Bind, Place, SymKind, SHF_ALLOC, SHF_EXECINSTR};

fn code(words: &[u32], relocs: Vec<Reloc>) -> Section {
    Section {
        name: ".text.f".into(),
        flags: u64::from(SHF_ALLOC | SHF_EXECINSTR),
        data: words.iter().flat_map(|w| w.to_le_bytes()).collect(),
        size: 4 * words.len() as u64,
        relocs,
        ..Section::default()
    }
}

fn reloc(offset: u64, kind: u32, symbol: usize, addend: i64) -> Reloc {
    Reloc { offset, kind, symbol, addend }
}

fn symbol(name: &str, place: Place, value: u64, other: u8) -> Symbol {
    Symbol { name: name.into(), kind: SymKind::Func, bind: Bind::Global, place, value, size: 0, other }
}

/// Section 1 is `section`; symbol 1 is f at `entry` in it, symbol 2 `other`.
fn object(section: Section, entry: u64, other: &str) -> Object {
    Object {
        arch: &PPC64LE,
        flags: 2,
        sections: vec![Section::default(), section],
        symbols: vec![
            symbol("", Place::Undefined, 0, 0),
            symbol("f", Place::In(1), entry, BEHIND_TWO),
            symbol(other, Place::Undefined, 0, 0),
        ],
    }
}

const BLR: u32 = 0x4e80_0020;
const MFLR: u32 = 0x7c08_02a6;
const BL: u32 = 0x4800_0001;

#[test]
fn branches_that_leave() {
    // b .+16; bl .-8 (both leave 8..20), beq .+4 (does not), bne .-12 (does).
    let words = [insn::NOP, insn::NOP, 0x4800_0010, 0x4bff_fff9, 0x4182_0004, BLR];
    let found = PPC64LE.local_branches(&code(&words, Vec::new()), 8..20).unwrap();
    let branch = |field, target, width, call| LocalBranch { field, target, width, call };
    assert_eq!(found, [branch(8, 24, 4, false), branch(12, 4, 4, true), branch(16, 20, 2, false)]);
    let relocated = code(&words, vec![reloc(8, elf::R_PPC64_REL24, 2, 0), reloc(12, elf::R_PPC64_TOCSAVE, 0, 0)]);
    assert_eq!(PPC64LE.local_branches(&relocated, 8..20).unwrap(), [found[1], found[2]], "a marker is no relocation");
    // bcl 20,31,.+4 reads the program counter.
    assert_eq!(PPC64LE.local_branches(&code(&[0x429f_0005, BLR], Vec::new()), 0..8).unwrap(), []);
    assert_eq!(PPC64LE.local_branches(&code(&words, Vec::new()), 2..20), None);
}

#[test]
fn ends_and_gaps() {
    let section = code(&[insn::NOP, 0, branches::TRAP, 0x6042_0000, BLR, BL], vec![reloc(20, 10, 2, 0)]);
    assert!(PPC64LE.is_padding(&section, 0..16));
    assert!(PPC64LE.is_padding(&section, 6..8), "part of a word of zeroes");
    assert!(!PPC64LE.is_padding(&section, 0..20));
    assert!(!PPC64LE.runs_on(&section, 0..20));
    assert!(PPC64LE.runs_on(&section, 0..24), "a call comes back");
    assert!(PPC64LE.runs_on(&section, 0..18), "cut off");
    assert!(PPC64LE.runs_on(&section, 0..0));
}

#[test]
fn places_for_ftrace() {
    let site = |at: i64| {
        let mut object = object(code(&[insn::NOP; 16], Vec::new()), 8, "g");
        let list = Section {
            name: "__patchable_function_entries".into(),
            relocs: vec![reloc(0, elf::R_PPC64_ADDR64, 1, at)],
            ..Section::default()
        };
        object.sections.push(list);
        PPC64LE.has_ftrace_site(&object, 1, 8, 64)
    };
    assert!(site(8), "at the local entry");
    assert!(!site(48), "of a later function");
    let calls = |relocs: Vec<Reloc>, callee: &str| {
        let object = object(code(&[0, 0, MFLR, BL, BLR, BL], relocs), 0, callee);
        PPC64LE.has_ftrace_site(&object, 1, 0, 24)
    };
    assert!(calls(vec![reloc(12, elf::R_PPC64_REL24, 2, 0)], "_mcount"));
    assert!(!calls(vec![reloc(12, elf::R_PPC64_REL24, 2, 0)], "other"));
    assert!(!calls(vec![reloc(20, elf::R_PPC64_REL24, 2, 0)], "_mcount"), "too far from the entry");
}

#[test]
fn entries_without_symbols() {
    let entry = |relocs| PPC64LE.entry_of(&object(code(&[0; 8], relocs), 0, ".TOC."), 1);
    let large = vec![reloc(0, elf::R_PPC64_REL64, 2, -8), reloc(8, R_PPC64_ENTRY, 0, 0)];
    assert_eq!(entry(large), (8, BEHIND_TWO));
    let medium = vec![reloc(0, elf::R_PPC64_REL16_HA, 2, 0), reloc(4, elf::R_PPC64_REL16_LO, 2, 4)];
    assert_eq!(entry(medium), (0, BEHIND_TWO));
    assert_eq!(entry(Vec::new()), (0, 0), "a function that needs no TOC");
}

#[test]
fn local_entries_are_entered_by_themselves() {
    let object = object(code(&[0; 4], Vec::new()), 0, "g");
    assert_eq!(PPC64LE.entered(elf::R_PPC64_REL24, &object.symbols[1]), 8);
    assert_eq!(PPC64LE.entered(elf::R_PPC64_ADDR64, &object.symbols[1]), 0);
    assert_eq!(PPC64LE.entered(elf::R_PPC64_REL24, &object.symbols[2]), 0);
    assert!(PPC64LE.reaches_kernel(elf::R_PPC64_REL24, 0));
    assert!(!PPC64LE.reaches_kernel(elf::R_PPC64_REL24, 4));
    assert!(!PPC64LE.reaches_kernel(elf::R_PPC64_REL14, 0));
    assert!(PPC64LE.reaches_kernel(elf::R_PPC64_ADDR64, 4));
}

/// The second entry of a table: code from 8 to 16; `alternative` is where its alternative begins and ends.
fn fixups(alternative: [i64; 2]) -> Section {
    let [begin, end] = alternative;
    let fields = [(64, 1, 8), (72, 1, 16), (80, 2, begin), (88, 2, end)];
    // Each counts from the start of the entry, at 48.
    let relocs = fields.map(|(at, of, place)| reloc(at, elf::R_PPC64_REL64, of, place + at as i64 - 48));
    Section { name: "__ftr_fixup".into(), size: 96, data: vec![0; 96], relocs: relocs.into(), ..Section::default() }
}

#[test]
fn feature_fixups_count_from_their_entry() {
    let section = fixups([24, 32]);
    let place = |n: usize| section.relocs[n].addend + PPC64LE.bias(&section, 48..96, &section.relocs[n]);
    // An end is known by the instruction before it.
    assert_eq!([place(0), place(1), place(2), place(3)], [8, 12, 24, 28]);
    assert!(!section.relocs.iter().any(|r| PPC64LE.names_nothing(&section, 48..96, r)));
    let empty = fixups([24, 24]);
    let named: Vec<bool> = empty.relocs.iter().map(|r| PPC64LE.names_nothing(&empty, 48..96, r)).collect();
    assert_eq!(named, [false, false, true, true]);
    let place = |n: usize| empty.relocs[n].addend + PPC64LE.bias(&empty, 48..96, &empty.relocs[n]);
    assert_eq!([place(2), place(3)], [24, 24]);
    let elsewhere = Section { name: "__lwsync_fixup".into(), ..section.clone() };
    assert_eq!(PPC64LE.bias(&elsewhere, 48..96, &section.relocs[0]), 0);
}

#[test]
fn what_needs_no_toc_is_known_by_name_only() {
    for (kind, name) in [(116, "R_PPC64_REL24_NOTOC"), (132, "R_PPC64_PCREL34"), (133, "R_PPC64_GOT_PCREL34")] {
        assert_eq!(PPC64LE.reloc_name(kind), name);
        assert_eq!(PPC64LE.field(kind), None);
    }
    assert_eq!(PPC64LE.reloc_name(255), "R_PPC64 type 255");
}

#[test]
fn other_abis() {
    assert!(PPC64LE.check_flags(2).is_ok() && PPC64LE.check_flags(0).is_ok());
    assert!(PPC64LE.check_flags(1).unwrap_err().to_string().contains("ELFv1"));
    assert!(PPC64LE.check_flags(3).unwrap_err().to_string().contains("0x3"));
    assert!(PPC64LE.check_section(".opd").unwrap_err().to_string().contains("ELFv1"));
    assert!(PPC64LE.check_section(".toc").is_ok());
}
