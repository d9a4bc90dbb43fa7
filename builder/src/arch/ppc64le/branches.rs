// SPDX-License-Identifier: GPL-2.0-or-later
//! Instruction words of ppc64le as far as control flow goes: code in, branches and ends of code out
//! (Power ISA 3.0 B, book I, chapter 2.4).

use super::insn::{branch_distance, conditional_distance, NOP};
use crate::elf::{Section, Symbol};
use std::ops::Range;

/// Bytes of an instruction.
pub const INSTRUCTION: u64 = 4;
/// `trap` (`tw 31,0,0`).
pub const TRAP: u32 = 0x7fe0_0008;

/// What an instruction does to the flow of control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Goes on with the next instruction.
    Next,
    /// `b`, `bl`: `to` is relative to the instruction; None for an absolute address.
    Branch {
        /// Distance, bytes.
        to: Option<i64>,
        /// Sets the link register.
        link: bool,
    },
    /// `bc`, `bcl`: the same under a condition, or to read the program counter (`bcl 20,31,.+4`).
    Conditional {
        /// Distance, bytes.
        to: Option<i64>,
        /// Sets the link register.
        link: bool,
        /// Taken in any case.
        always: bool,
    },
    /// `blr`, `bctr`, `bctrl` and their like, perhaps under a condition.
    Indirect {
        /// Sets the link register.
        link: bool,
        /// Taken in any case.
        always: bool,
    },
    /// Returns from an interrupt: `rfid`, `hrfid`, `rfscv`.
    Return,
    /// An unconditional trap.
    Trap,
    /// `sc`, `scv`.
    System,
}

/// The flow of control behind an instruction.
pub fn flow(word: u32) -> Flow {
    let link = word & 1 != 0;
    let relative = word & 2 == 0;
    let bo = word >> 21 & 31;
    // BO 1z1zz: neither the condition nor the count register is asked.
    let always = bo & 0b10100 == 0b10100;
    match (word >> 26, word >> 1 & 0x3ff) {
        (18, _) => Flow::Branch { to: relative.then(|| branch_distance(word)), link },
        (16, _) => Flow::Conditional { to: relative.then(|| conditional_distance(word)), link, always },
        (17, _) => Flow::System,
        (19, 16 | 528 | 560) => Flow::Indirect { link, always },
        (19, 18 | 274 | 82) => Flow::Return,
        // twi, tdi, tw, td with all conditions asked for.
        (2 | 3, _) | (31, 4 | 68) if bo == 31 => Flow::Trap,
        _ => Flow::Next,
    }
}

/// The instructions of a range: offset in the section, word. What does not fill an instruction is left out.
pub fn instructions(section: &Section, range: Range<u64>) -> impl Iterator<Item = (u64, u32)> + '_ {
    let start = range.start;
    let words = section.bytes(range).chunks_exact(INSTRUCTION as usize);
    words.enumerate().map(move |(n, bytes)| {
        (start + n as u64 * INSTRUCTION, u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    })
}

/// True where execution cannot go past this instruction.
pub fn ends(word: u32) -> bool {
    match flow(word) {
        Flow::Branch { link, .. } => !link,
        Flow::Conditional { link, always, .. } | Flow::Indirect { link, always } => always && !link,
        Flow::Return | Flow::Trap => true,
        Flow::Next | Flow::System => false,
    }
}

/// True for what assemblers fill gaps with: nops (of the forms that end a group as well), traps, zeroes.
pub fn is_filler(word: u32) -> bool {
    matches!(word, 0 | NOP | 0x6021_0000 | 0x6042_0000 | TRAP)
}

/// How far the local entry of a function lies behind its global one, bytes (64-Bit ELF V2 ABI Specification,
/// Power Architecture, 3.4.1: the three highest bits of st_other).
pub fn local_entry(symbol: &Symbol) -> u64 {
    match symbol.other >> 5 {
        code @ 2..=6 => 1 << code,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{Bind, Place, SymKind};

    #[test]
    fn flows() {
        let branch = |to, link| Flow::Branch { to: Some(to), link };
        assert_eq!(flow(0x4800_0010), branch(16, false));
        assert_eq!(flow(0x4bff_fff1), branch(-16, true));
        assert_eq!(flow(0x4800_1002), Flow::Branch { to: None, link: false }, "ba");
        let conditional = |to, link, always| Flow::Conditional { to: Some(to), link, always };
        assert_eq!(flow(0x4182_0008), conditional(8, false, false), "beq");
        assert_eq!(flow(0x4082_fff8), conditional(-8, false, false), "bne");
        assert_eq!(flow(0x429f_0005), conditional(4, true, true), "bcl 20,31,.+4");
        assert_eq!(flow(0x4e80_0020), Flow::Indirect { link: false, always: true }, "blr");
        assert_eq!(flow(0x4d81_0020), Flow::Indirect { link: false, always: false }, "bgtlr");
        assert_eq!(flow(0x4e80_0420), Flow::Indirect { link: false, always: true }, "bctr");
        assert_eq!(flow(0x4e80_0421), Flow::Indirect { link: true, always: true }, "bctrl");
        assert_eq!(flow(0x4c00_0024), Flow::Return, "rfid");
        assert_eq!(flow(TRAP), Flow::Trap);
        assert_eq!(flow(0x0fe0_0000), Flow::Trap, "twi 31,0,0");
        assert_eq!(flow(0x0b03_0000), Flow::Next, "tdnei 3,0");
        assert_eq!(flow(0x4400_0002), Flow::System, "sc");
        assert_eq!(flow(NOP), Flow::Next);
    }

    #[test]
    fn ends_of_code() {
        for word in [0x4800_0010, 0x4e80_0020, 0x4e80_0420, 0x4c00_0024, TRAP, 0x0fe0_0000] {
            assert!(ends(word), "{word:#x}");
        }
        for word in [0x4800_0011, 0x4182_0008, 0x4d81_0020, 0x4e80_0421, 0x429f_0005, NOP, 0] {
            assert!(!ends(word), "{word:#x}");
        }
    }

    #[test]
    fn local_entries() {
        let symbol = |other| Symbol {
            name: "f".into(),
            kind: SymKind::Func,
            bind: Bind::Global,
            place: Place::Undefined,
            value: 0,
            size: 0,
            other,
        };
        let offsets: Vec<u64> = (0..8).map(|code| local_entry(&symbol(code << 5))).collect();
        assert_eq!(offsets, [0, 0, 4, 8, 16, 32, 64, 0]);
        assert_eq!(local_entry(&symbol(3 << 5 | 2)), 8, "the visibility does not matter");
    }
}
