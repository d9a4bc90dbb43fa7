// SPDX-License-Identifier: GPL-2.0-or-later
//! What the instructions of a function do with the addresses that relocations give them. An address is made by two
//! instructions, or loaded from the TOC; the second one, or what comes after it, uses it.

use super::branches::{ends, flow, instructions, is_filler, Flow, INSTRUCTION};
use super::lines::{ra, rt, written, Written};
use crate::arch::later::Step;
use crate::arch::Access;
use crate::elf::{Reloc, Section};
use object::elf;
use std::ops::Range;

/// See [`Arch::accesses`](crate::arch::Arch::accesses).
pub fn accesses(section: &Section, function: Range<u64>) -> Vec<(u64, Access)> {
    let code: Vec<(u64, u32)> = instructions(section, function.clone()).collect();
    let mut found = Vec::new();
    for r in section.relocs_in(function) {
        let Some(n) = code.iter().position(|&(at, _)| (at..at + INSTRUCTION).contains(&r.offset)) else { continue };
        let word = code[n].1;
        let access = match r.kind {
            elf::R_PPC64_TOC16 | elf::R_PPC64_TOC16_LO | elf::R_PPC64_TOC16_DS | elf::R_PPC64_TOC16_LO_DS => {
                match touches(word) {
                    // It loads the address, or makes it: what comes after uses it.
                    Some(Touch { writes: false, base: _ }) if is_ld(word) => later(&code[n + 1..], rt(word)),
                    Some(touch) => Access::Direct { writes: touch.writes },
                    None => later(&code[n + 1..], rt(word)),
                }
            }
            elf::R_PPC64_REL24 | elf::R_PPC64_REL14 => continue,
            _ => Access::Address,
        };
        found.push((*r, access));
    }
    // The upper half of an address is for the same use as the lower one.
    let lower = |upper: &Reloc| {
        let is_other_half = |r: &Reloc| r.symbol == upper.symbol && r.addend == upper.addend && r.kind != upper.kind;
        found.iter().find(|(r, _)| is_other_half(r)).map(|&(_, access)| access)
    };
    let whole = |(r, access): &(Reloc, Access)| match r.kind {
        elf::R_PPC64_TOC16_HA => (r.offset, lower(r).unwrap_or(*access)),
        _ => (r.offset, *access),
    };
    found.iter().map(whole).collect()
}

/// Registers of arguments, r3 to r10, in order (64-Bit ELF V2 ABI Specification, Power Architecture, 2.2.3.1).
pub const ARGUMENTS: [u32; 8] = [1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 10];
/// What calls do not keep: r0, r3 to r12.
const LOST: u32 = 0x1ff9;

/// A function for [`later`](crate::arch::later).
pub fn steps(section: &Section, function: Range<u64>) -> Vec<Step> {
    let relocs = section.relocs_in(function.clone());
    let step = |(at, word): (u64, u32)| {
        let first = relocs.partition_point(|r| r.offset < at);
        let here = relocs[first..].iter().take_while(|r| r.offset < at + INSTRUCTION);
        let named = |r: &&Reloc| {
            let (plain, loads) = (
                matches!(r.kind, elf::R_PPC64_TOC16 | elf::R_PPC64_TOC16_LO),
                matches!(r.kind, elf::R_PPC64_TOC16_DS | elf::R_PPC64_TOC16_LO_DS),
            );
            plain && word >> 26 == 14 || loads && is_ld(word)
        };
        let branch = here.clone().find(|r| matches!(r.kind, elf::R_PPC64_REL24 | elf::R_PPC64_REL14));
        let given = here.clone().find(named);
        let bit = |register: usize| 1u32 << register;
        let (a, b) = (ra(word), (word >> 11 & 31) as usize);
        let base = if a == 0 { 0 } else { bit(a) };
        let mut step = Step { at, goes_on: !ends(word), ..Step::default() };
        // Nops are operations of a register on itself.
        if is_filler(word) {
            return step;
        }
        step.written = match written(word) {
            Written::Nothing => 0,
            Written::One(one) => bit(one),
            Written::Two(one, other) => bit(one) | bit(other),
            Written::Anything => u32::MAX,
        };
        let is_extended = |number: u32| word >> 26 == 31 && word >> 1 & 0x3ff == number;
        let moves = step.written & bit(a) != 0 && touches(word).is_some();
        if touches(word).is_some_and(|touch| touch.writes) || is_extended(DCBZ) {
            step.through = base | if word >> 26 == 31 { bit(b) } else { 0 };
        }
        match word >> 26 {
            _ if given.is_some() => step.gives = given.map(|r| (r.offset, bit(rt(word)))),
            // addi, addis; add; mr; what moves its base along.
            14 | 15 => step.copies = Some((bit(rt(word)), base)),
            31 if is_extended(ADD) => step.copies = Some((bit(rt(word)), bit(a) | bit(b))),
            31 if is_extended(OR) && rt(word) == b => step.copies = Some((bit(a), bit(b))),
            _ if moves => step.copies = Some((base, base)),
            _ => {}
        }
        let to = |distance: Option<i64>| distance.filter(|_| branch.is_none()).map(|by| at.wrapping_add_signed(by));
        match flow(word) {
            Flow::Branch { link: true, .. } | Flow::Indirect { link: true, .. } => {
                (step.calls, step.written) = (branch.map(|r| r.offset), LOST);
            }
            Flow::Branch { to: distance, .. } => {
                (step.calls, step.jumps, step.written) = (branch.map(|r| r.offset), to(distance), 0);
            }
            Flow::Conditional { link: true, .. } | Flow::System => step.written = LOST,
            Flow::Conditional { to: distance, .. } => (step.jumps, step.written) = (to(distance), 0),
            Flow::Next | Flow::Indirect { .. } | Flow::Return | Flow::Trap => {}
        }
        step
    };
    instructions(section, function).map(step).collect()
}

/// `add`, `or` (which `mr` is), `dcbz`: the field that tells instructions of opcode 31 apart.
const ADD: u32 = 266;
const OR: u32 = 444;
const DCBZ: u32 = 1014;

/// An instruction that reads or writes memory.
struct Touch {
    writes: bool,
    /// The register that the address counts from.
    base: usize,
}

const fn is_ld(word: u32) -> bool {
    word >> 26 == 58 && word & 3 == 0
}

/// Loads and stores with a distance in the instruction, or in a second register (Power ISA 3.0 B, book I, 3.3.2 and 3.3.3).
fn touches(word: u32) -> Option<Touch> {
    let writes = match word >> 26 {
        32..=35 | 40..=43 | 46 | 48..=51 | 58 => false,
        36..=39 | 44 | 45 | 47 | 52..=55 | 62 => true,
        31 => match word >> 1 & 0x3ff {
            // lwzx, lbzx, lhzx, lhax, lwax, ldx, lwarx, ldarx, lwbrx, ldbrx, lhbrx
            23 | 87 | 279 | 343 | 341 | 21 | 20 | 84 | 534 | 532 | 790 => false,
            // stwx, stbx, sthx, stdx, stwux, stdux, stwcx., stdcx., stwbrx, stdbrx, sthbrx
            151 | 215 | 407 | 149 | 183 | 181 | 150 | 214 | 662 | 660 | 918 => true,
            _ => return None,
        },
        _ => return None,
    };
    Some(Touch { writes, base: ra(word) })
}

/// Whether straight code writes to the address in `register`, or at a distance from it.
fn later(code: &[(u64, u32)], register: usize) -> Access {
    for &(_, word) in code {
        if touches(word).is_some_and(|touch| touch.base == register && touch.writes) {
            return Access::Indexed { writes: true };
        }
        match flow(word) {
            Flow::Branch { link: true, .. } | Flow::Indirect { link: true, .. } if register >= 14 => {}
            Flow::Conditional { link: false, always: false, .. } => {}
            Flow::Next => match written(word) {
                Written::Nothing => {}
                Written::One(one) if one == register => break,
                Written::Two(one, other) if one == register || other == register => break,
                Written::Anything => break,
                _ => {}
            },
            _ => break,
        }
    }
    Access::Address.of_address(|| is_compared(code, register))
}

/// True if the code, read in one line, only compares a register.
fn is_compared(code: &[(u64, u32)], register: usize) -> bool {
    let mut compared = false;
    for &(_, word) in code {
        let is = |field: usize| field == register;
        let (a, b) = (ra(word), (word >> 11 & 31) as usize);
        // cmpi, cmpli; cmp, cmpl.
        let compares = matches!(word >> 26, 10 | 11) || word >> 26 == 31 && matches!(word >> 1 & 0x3ff, 0 | 32);
        if compares {
            compared |= is(a) || word >> 26 == 31 && is(b);
            continue;
        }
        let is_call = matches!(flow(word), Flow::Branch { link: true, .. } | Flow::Indirect { link: true, .. });
        if is_call && register < 14 {
            return false;
        }
        if flow(word) != Flow::Next {
            continue;
        }
        let is_written = match written(word) {
            Written::Nothing => false,
            Written::One(one) => is(one),
            Written::Two(one, other) => is(one) || is(other),
            Written::Anything => return false,
        };
        // std of a register that the function keeps for its caller comes before anything else; here every field counts.
        if reads(word, register) {
            return false;
        }
        if is_written {
            break;
        }
    }
    compared
}

/// True if an instruction may read a register: rather one too many.
fn reads(word: u32, register: usize) -> bool {
    let (t, a, b) = (rt(word), ra(word), (word >> 11 & 31) as usize);
    match word >> 26 {
        // addi, addis and loads read RA; stores read RS as well.
        7 | 8 | 12..=15 | 32..=35 | 40..=43 | 46 | 58 => a == register,
        36..=39 | 44 | 45 | 47 | 62 => a == register || t == register,
        // Logic with a constant and rotations read RS.
        20 | 21 | 23..=30 => t == register || b == register && word >> 26 == 23,
        _ => t == register || a == register || b == register,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::later::{uses, Later};
    use crate::elf::{SHF_ALLOC, SHF_EXECINSTR};

    fn section(words: &[u32], fields: &[(u64, u32)]) -> Section {
        let relocs = fields.iter().map(|&(offset, kind)| Reloc { offset, kind, symbol: 1, addend: 0 }).collect();
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (flags, size) = (u64::from(SHF_ALLOC | SHF_EXECINSTR), data.len() as u64);
        Section { flags, data, size, relocs, ..Section::default() }
    }

    fn of(words: &[u32], fields: &[(u64, u32)]) -> Vec<Access> {
        let section = section(words, fields);
        accesses(&section, 0..section.size).into_iter().map(|(_, access)| access).collect()
    }

    #[test]
    fn what_is_done_later() {
        let (low, low_ds, call) = (elf::R_PPC64_TOC16_LO, elf::R_PPC64_TOC16_LO_DS, elf::R_PPC64_REL24);
        let of = |words: &[u32], fields: &[(u64, u32)]| -> Vec<Later> {
            let section = section(words, fields);
            uses(&steps(&section, 0..section.size), &ARGUMENTS).into_iter().map(|u| u.what).collect()
        };
        // addi 3,3,0; bl x; bl x
        let passed = [Later::Pass { argument: 0, call: 4 }];
        assert_eq!(of(&[0x3863_0000, 0x4800_0001, 0x4800_0001], &[(0, low), (4, call), (8, call)]), passed);
        // ld 31,0(9); bl x; mr 4,31; bl y
        let words = [0xebe9_0000, 0x4800_0001, 0x7fe4_fb78, 0x4800_0001];
        let passed = [Later::Pass { argument: 1, call: 12 }];
        assert_eq!(of(&words, &[(0, low_ds), (4, call), (12, call)]), passed);
        // addi 9,9,0; beq +8; blr; addi 9,9,8; stw 10,4(9); stwu 10,4(9); dcbz 0,9
        let words = [0x3929_0000, 0x4182_0008, 0x4e80_0020, 0x3929_0008, 0x9149_0004, 0x9549_0004, 0x7c00_4fec];
        assert_eq!(of(&words, &[(0, low)]), [Later::Write; 3]);
        // addi 9,9,0; lwz 3,0(9); std 9,0(3): read, and kept elsewhere.
        assert_eq!(of(&[0x3929_0000, 0x8069_0000, 0xf923_0000], &[(0, low)]), []);
    }

    #[test]
    fn what_instructions_do() {
        let (low, low_ds) = (elf::R_PPC64_TOC16_LO, elf::R_PPC64_TOC16_LO_DS);
        // lwz 3,0(9); stw 3,0(9)
        assert_eq!(of(&[0x8069_0000], &[(0, low)]), [Access::Direct { writes: false }]);
        assert_eq!(of(&[0x9069_0000], &[(0, low)]), [Access::Direct { writes: true }]);
        // ld 9,0(9); li 10,1; stw 10,0(9)
        let written = Access::Indexed { writes: true };
        assert_eq!(of(&[0xe929_0000, 0x3940_0001, 0x9149_0000], &[(0, low_ds)]), [written]);
        // ld 9,0(9); lwz 3,0(9); blr
        assert_eq!(of(&[0xe929_0000, 0x8069_0000, 0x4e80_0020], &[(0, low_ds)]), [Access::Address]);
        // addi 9,9,0; stwx 10,9,3
        assert_eq!(of(&[0x3929_0000, 0x7d49_192e], &[(0, low)]), [written]);
        // ld 3,0(9); bl f
        assert_eq!(of(&[0xe869_0000, 0x4800_0001], &[(0, low_ds)]), [Access::Address]);
    }
}
