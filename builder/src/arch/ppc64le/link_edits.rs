// SPDX-License-Identifier: GPL-2.0-or-later
//! What ld changes in code while it links a kernel: linked bytes in, the same without these edits out.
//!
//! Known edits, each undone only where the rebuilt code has the instruction and the relocation that ld makes
//! them of (bfd/elf64-ppc.c, ppc64_elf_relocate_section, says when):
//!
//! - `addis rX,r2,S@toc@ha` becomes a nop where S is within 32 KiB of the TOC base, and the instructions with
//!   S@toc@l then take r2 for rX;
//! - `ld rX,E@toc@l(rY)`, E an entry of the TOC that holds an address, becomes `addi` of that address, and
//!   the entry goes away;
//! - a call of a weak symbol that nothing defines becomes a nop.
//!
//! Whether the edited halves of an address belong together, `references` checks.

use super::insn::{self, NOP};
use crate::arch::linked::Linked;
use crate::elf::Reloc;
use object::elf;

/// What became of an instruction with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Nothing: it is as the compiler made it, but for its field.
    Kept,
    /// `addis rX,r2,…` that became a nop, or a call of a missing function that did.
    Dropped,
    /// It takes r2 itself; or, with `held`, an address in the place of the entry that held it.
    Direct {
        /// True where r2 stands for the register that the dropped `addis` would have set.
        from_base: bool,
        /// True where `ld` became `addi`.
        held: bool,
    },
}

/// Which known edit turns `mine` into `theirs` at this reference; None where none does.
pub fn edit(linked: &Linked<'_>, reloc: &Reloc, mine: u32, theirs: u32) -> Option<Edit> {
    match reloc.kind {
        elf::R_PPC64_REL24 => {
            let field = 0x03ff_fffc;
            if (mine ^ theirs) & !field == 0 {
                return Some(Edit::Kept);
            }
            let dropped = theirs == NOP && insn::op(mine) == insn::B && linked.may_be_missing(reloc);
            (dropped && reloc.addend == 0).then_some(Edit::Dropped)
        }
        elf::R_PPC64_TOC16_HA => {
            if (mine ^ theirs) & 0xffff_0000 == 0 {
                return Some(Edit::Kept);
            }
            let dropped = theirs == NOP && insn::op(mine) == insn::ADDIS && insn::ra(mine) == 2;
            dropped.then_some(Edit::Dropped)
        }
        elf::R_PPC64_TOC16_LO | elf::R_PPC64_TOC16_LO_DS => {
            let held = reloc.kind == elf::R_PPC64_TOC16_LO_DS && insn::is_ld(mine) && insn::op(theirs) == insn::ADDI;
            // The same instruction but for its base, or the other one to the same register.
            let fixed = match (held, reloc.kind) {
                (true, _) => 0x1f << 21,
                (false, elf::R_PPC64_TOC16_LO_DS) => 0xffe0_0003,
                (false, _) => 0xffe0_0000,
            };
            if (mine ^ theirs) & fixed != 0 {
                return None;
            }
            let from_base = insn::ra(mine) != insn::ra(theirs);
            if from_base && insn::ra(theirs) != 2 {
                return None;
            }
            Some(if held || from_base { Edit::Direct { from_base, held } } else { Edit::Kept })
        }
        _ => None,
    }
}

/// The linked bytes with known edits undone: there the rebuilt instruction is, its field aside.
pub fn undo(linked: &Linked<'_>) -> Option<Vec<u8>> {
    let mut code = linked.image.bytes(linked.at, linked.range.end.checked_sub(linked.range.start)?)?.to_vec();
    for reloc in linked.relocs() {
        let (Some(mine), Some(theirs)) = (linked.rebuilt_word(reloc.offset), linked.shipped_word(reloc.offset)) else {
            continue;
        };
        if !matches!(edit(linked, reloc, mine, theirs), None | Some(Edit::Kept)) {
            let at = (reloc.offset - linked.range.start) as usize;
            if let Some(place) = code.get_mut(at..at + 4) {
                place.copy_from_slice(&mine.to_le_bytes());
            }
        }
    }
    Some(code)
}
