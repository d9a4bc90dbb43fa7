// SPDX-License-Identifier: GPL-2.0-or-later
//! Fields of instructions that references and link edits are in (Power ISA, book I, 1.6).

/// `nop` (`ori 0,0,0`).
pub const NOP: u32 = 0x6000_0000;
/// `addi RT,RA,SI`.
pub const ADDI: u32 = 14;
/// `addis RT,RA,SI`.
pub const ADDIS: u32 = 15;
/// `b`, `bl`.
pub const B: u32 = 18;
/// The opcode that `ld` shares with `ldu` and `lwa`.
const LD: u32 = 58;

/// The primary opcode.
pub fn op(word: u32) -> u32 {
    word >> 26
}

/// RA, the base register.
pub fn ra(word: u32) -> u32 {
    word >> 16 & 0x1f
}

/// True for `ld`.
pub fn is_ld(word: u32) -> bool {
    op(word) == LD && word & 3 == 0
}

/// True for `b` to a distance from itself.
pub fn is_plain_branch(word: u32) -> bool {
    op(word) == B && word & 3 == 0
}

/// The distance of `b` and `bl`, bytes.
pub fn branch_distance(word: u32) -> i64 {
    i64::from((word & 0x03ff_fffc) << 6) as i32 as i64 >> 6
}

/// The distance of a conditional branch, bytes.
pub fn conditional_distance(word: u32) -> i64 {
    i64::from((word & 0xfffc) as u16 as i16)
}

/// The value that `addis 2,12,ha; addi 2,2,lo` (or `lis 2,ha; addi 2,2,lo`) at `at` gives r2, where the code
/// begins with these two: how a function's global entry sets up the TOC pointer.
pub fn toc_setup(code: &[u8], at: u64) -> Option<u64> {
    let word = |n: usize| Some(u32::from_le_bytes(*code.get(n..)?.first_chunk()?));
    let (upper, lower) = (word(0)?, word(4)?);
    let start = match upper >> 16 {
        0x3c4c => at,
        0x3c40 => 0,
        _ => return None,
    };
    let sum = (i64::from(upper as u16 as i16) << 16) + i64::from(lower as u16 as i16);
    (lower >> 16 == 0x3842).then_some(start.wrapping_add_signed(sum))
}
