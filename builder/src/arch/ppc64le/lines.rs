// SPDX-License-Identifier: GPL-2.0-or-later
//! Finds, before each call, a constant that is loaded into the argument register right behind one that holds
//! an address: `f(…, __FILE__, __LINE__, …)` in the ELFv2 calling convention.

use super::branches::{flow, Flow, INSTRUCTION};
use crate::arch::LineArgument;
use crate::elf::Reloc;
use object::elf;
use std::ops::Range;

/// The registers that hold arguments.
const ARGUMENTS: Range<usize> = 3..11;
/// The registers that a call keeps.
const KEPT: Range<usize> = 14..32;

/// What a register holds.
#[derive(Clone)]
enum Held {
    Unknown,
    /// An address, made from r2 or loaded from the TOC: the relocation that names it.
    Address(Reloc),
    /// A constant, and the bytes of its lower half.
    Number(Range<u64>, u32),
}

/// Which registers an instruction writes.
pub(super) enum Written {
    Nothing,
    One(usize),
    Two(usize, usize),
    Anything,
}

/// Walks straight through the code. `relocs` are those of the code, sorted.
pub fn arguments(code: impl Iterator<Item = (u64, u32)>, relocs: &[Reloc]) -> Vec<LineArgument> {
    let mut found = Vec::new();
    let mut held: [Held; 32] = std::array::from_fn(|_| Held::Unknown);
    for (at, word) in code {
        let first = relocs.partition_point(|r| r.offset < at);
        let reloc = relocs[first..].iter().take_while(|r| r.offset < at + INSTRUCTION).find(|r| is_field(r)).copied();
        let flow = flow(word);
        let call = match flow {
            Flow::Branch { link, .. } => link || reloc.is_some(),
            Flow::Indirect { link, .. } => link,
            _ => false,
        };
        if call {
            for pair in held[ARGUMENTS].windows(2) {
                if let [Held::Address(place), Held::Number(field, value)] = pair {
                    let callee = reloc.map(|r| r.symbol);
                    found.push(LineArgument { field: field.clone(), value: *value, place: *place, callee });
                }
            }
        }
        match flow {
            Flow::Branch { link: true, .. } | Flow::Indirect { link: true, .. } => {
                held[..KEPT.start].fill(Held::Unknown);
            }
            Flow::Conditional { .. } | Flow::Indirect { always: false, .. } => {}
            Flow::Next => {
                let new = result(at, word, reloc, &held);
                match written(word) {
                    Written::Nothing => {}
                    Written::One(register) => held[register] = new,
                    Written::Two(one, other) => [one, other].into_iter().for_each(|n| held[n] = Held::Unknown),
                    Written::Anything => held.fill(Held::Unknown),
                }
            }
            _ => held.fill(Held::Unknown),
        }
    }
    found
}

/// False for markers beside an instruction.
fn is_field(reloc: &Reloc) -> bool {
    !matches!(reloc.kind, elf::R_PPC64_NONE | elf::R_PPC64_TOCSAVE | super::R_PPC64_ENTRY)
}

pub(super) const fn rt(word: u32) -> usize {
    (word >> 21 & 31) as usize
}

pub(super) const fn ra(word: u32) -> usize {
    (word >> 16 & 31) as usize
}

/// What the register that an instruction writes holds afterwards.
fn result(at: u64, word: u32, reloc: Option<Reloc>, held: &[Held; 32]) -> Held {
    let low = word & 0xffff;
    let field = || at..at + 2;
    let extended = low as i16 as i32 as u32;
    match (word >> 26, reloc) {
        // addi from r2 or behind an addis: the address of what the relocation names.
        (14, Some(r)) if matches!(r.kind, elf::R_PPC64_TOC16 | elf::R_PPC64_TOC16_LO) => Held::Address(r),
        // ld: where the relocation names an entry of the TOC, the address in it.
        (58, Some(r)) if matches!(r.kind, elf::R_PPC64_TOC16_DS | elf::R_PPC64_TOC16_LO_DS) && word & 3 == 0 => {
            Held::Address(r)
        }
        (_, Some(_)) => Held::Unknown,
        // li, lis: addi and addis from no register.
        (14, None) if ra(word) == 0 => Held::Number(field(), extended),
        (15, None) if ra(word) == 0 => Held::Number(field(), low << 16),
        // ori puts the lower half behind an upper one.
        (24, None) => match &held[rt(word)] {
            Held::Number(_, high) if high & 0xffff == 0 && low != 0 => Held::Number(field(), high | low),
            same if low == 0 => same.clone(),
            _ => Held::Unknown,
        },
        // mr: or with itself.
        (31, None) if word & 0x7ff == 444 << 1 && rt(word) == (word >> 11 & 31) as usize => held[rt(word)].clone(),
        _ => Held::Unknown,
    }
}

/// The registers that an instruction writes; rather one too many.
pub(super) fn written(word: u32) -> Written {
    use Written::{Anything, Nothing, One, Two};
    let (rt, ra) = (rt(word), ra(word));
    match word >> 26 {
        // Traps, comparisons, stores of general, floating-point and vector registers.
        2 | 3 | 10 | 11 | 36 | 38 | 44 | 47 | 48 | 50 | 52 | 54 | 57 | 59 | 60 | 61 | 63 => Nothing,
        // Stores and floating-point loads that move their base along.
        37 | 39 | 45 | 49 | 51 | 53 | 55 => One(ra),
        // Arithmetic with a constant, loads.
        4 | 7 | 8 | 12..=15 | 32 | 34 | 40 | 42 => One(rt),
        33 | 35 | 41 | 43 => Two(rt, ra),
        // Logic with a constant, rotations.
        20 | 21 | 23..=30 => One(ra),
        31 => extended(word >> 1 & 0x3ff, rt, ra),
        // ld and lwa, ldu.
        58 if word & 3 != 1 => One(rt),
        58 => Two(rt, ra),
        // addpcis; operations on condition registers, isync.
        19 if word >> 1 & 31 == 2 => One(rt),
        19 => Nothing,
        // std, stdu.
        62 if word & 3 == 0 => Nothing,
        62 if word & 3 == 1 => One(ra),
        _ => Anything,
    }
}

/// [`written`] for primary opcode 31 (Power ISA 3.0 B, appendix F).
fn extended(xo: u32, rt: usize, ra: usize) -> Written {
    use Written::{Anything, Nothing, One, Two};
    match xo {
        // cmp, cmpl, tw, td; stores; barriers and cache hints; moves to special registers.
        0 | 32 | 4 | 68 => Nothing,
        149 | 150 | 151 | 214 | 215 | 407 | 660 | 661 | 662 | 694 | 725 | 726 | 918 => Nothing,
        54 | 86 | 246 | 278 | 598 | 854 | 982 | 1014 => Nothing,
        144 | 146 | 178 | 467 => Nothing,
        // Logic, shifts, extensions, counts, moves from vector registers: the target is in the field of RA.
        28 | 60 | 124 | 284 | 316 | 412 | 444 | 476 | 508 => One(ra),
        24 | 27 | 536 | 539 | 792 | 794 | 824 | 826 | 827 | 890 | 891 => One(ra),
        26 | 58 | 538 | 570 | 922 | 954 | 986 => One(ra),
        122 | 154 | 186 | 252 | 282 | 314 | 378 | 506 => One(ra),
        51 | 115 | 307 => One(ra),
        // Stores and floating-point loads that move their base along.
        181 | 183 | 247 | 439 | 567 | 631 | 695 | 759 => One(ra),
        // Loads that move their base along.
        53 | 55 | 119 | 311 | 373 | 375 => Two(rt, ra),
        // lqarx; strings.
        276 => Two(rt, (rt + 1) % 32),
        533 | 597 => Anything,
        // Arithmetic, loads, moves from special registers.
        _ => One(rt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LI_R4: u32 = 0x3880_0000;
    const BL: u32 = 0x4800_0001;

    fn reloc(offset: u64, kind: u32, symbol: usize) -> Reloc {
        Reloc { offset, kind, symbol, addend: 0 }
    }

    fn walk(words: &[u32], relocs: &[Reloc]) -> Vec<(Range<u64>, u32, usize, Option<usize>)> {
        let code = words.iter().enumerate().map(|(n, &word)| (4 * n as u64, word));
        arguments(code, relocs).into_iter().map(|a| (a.field, a.value, a.place.symbol, a.callee)).collect()
    }

    /// addis 3,2,_@toc@ha; addi 3,3,_@toc@l; symbol 7.
    const FILE: [u32; 2] = [0x3c62_0000, 0x3863_0000];

    fn file(at: u64) -> [Reloc; 2] {
        [reloc(at, elf::R_PPC64_TOC16_HA, 7), reloc(at + 4, elf::R_PPC64_TOC16_LO, 7)]
    }

    #[test]
    fn file_and_line() {
        let [ha, lo] = file(0);
        let call = reloc(12, elf::R_PPC64_REL24, 9);
        assert_eq!(walk(&[FILE[0], FILE[1], LI_R4 | 62, BL], &[ha, lo, call]), [(8..10, 62, 7, Some(9))]);
        // A jump instead of a call.
        assert_eq!(walk(&[FILE[0], FILE[1], LI_R4 | 62, BL - 1], &[ha, lo, call]), [(8..10, 62, 7, Some(9))]);
        // A jump within the function is none.
        assert_eq!(walk(&[FILE[0], FILE[1], LI_R4 | 62, BL - 1], &[ha, lo]), []);
    }

    #[test]
    fn through_the_toc() {
        // addis 9,2,_@toc@ha; ld 3,_@toc@l(9)
        let relocs = [
            reloc(0, elf::R_PPC64_TOC16_HA, 5),
            reloc(4, elf::R_PPC64_TOC16_LO_DS, 5),
            reloc(12, elf::R_PPC64_REL24, 9),
        ];
        assert_eq!(walk(&[0x3d22_0000, 0xe869_0000, LI_R4 | 62, BL], &relocs), [(8..10, 62, 5, Some(9))]);
    }

    #[test]
    fn long_numbers() {
        // lis 4,1; ori 4,4,34464; li 4,0; ori 4,4,0x8001
        let [ha, lo] = file(0);
        let call = reloc(16, elf::R_PPC64_REL24, 9);
        let words = [FILE[0], FILE[1], 0x3c80_0001, 0x6084_86a0, BL];
        assert_eq!(walk(&words, &[ha, lo, call]), [(12..14, 100_000, 7, Some(9))]);
        let words = [FILE[0], FILE[1], LI_R4, 0x6084_8001, BL];
        assert_eq!(walk(&words, &[ha, lo, call]), [(12..14, 0x8001, 7, Some(9))]);
    }

    #[test]
    fn what_is_written_again_is_forgotten() {
        let [ha, lo] = file(0);
        let relocs = [ha, lo, reloc(16, elf::R_PPC64_REL24, 9)];
        let mut words = [FILE[0], FILE[1], LI_R4 | 62, 0, BL];
        // mr 4,5; lwz 4,0(5); extsw 4,5; add 4,5,6; mr 3,5; the same from r4 into r5 does no harm.
        for over in [0x7ca4_2b78, 0x8085_0000, 0x7ca4_07b4, 0x7c85_3214, 0x7ca3_2b78] {
            words[3] = over;
            assert_eq!(walk(&words, &relocs), [], "{over:#x}");
        }
        for beside in [0x7c85_2378, 0xf881_0020, 0x9085_0000, 0x7c86_292e, 0x2804_0005, 0x7ca9_03a6] {
            words[3] = beside;
            assert_eq!(walk(&words, &relocs).len(), 1, "{beside:#x}");
        }
    }

    #[test]
    fn kept_over_a_call() {
        // The file's name in r30; bl; mr 3,30; li 4,62; bl.
        let [ha, lo] = file(0);
        let relocs = [ha, lo, reloc(8, elf::R_PPC64_REL24, 8), reloc(20, elf::R_PPC64_REL24, 9)];
        let words = [0x3fc2_0000, 0x3bde_0000, BL, 0x7fc3_f378, LI_R4 | 62, BL];
        assert_eq!(walk(&words, &relocs), [(16..18, 62, 7, Some(9))]);
        // Arguments are not.
        let words = [FILE[0], FILE[1], BL, LI_R4 | 62, 0x6000_0000, BL];
        assert_eq!(walk(&words, &relocs), []);
    }
}
