// SPDX-License-Identifier: GPL-2.0-or-later
//! What differs between architectures: one trait, one file each. No relocation type or machine number
//! is named anywhere else.

pub mod later;
pub mod line;
pub mod linked;
pub mod ppc64le;
mod rust_flags;
pub mod x86_64;

use crate::elf::{Object, Reloc, SecId, Section, SymId, Symbol};
use anyhow::{bail, Context, Result};
use line::{Ask, Line};
use linked::{Linked, Target};
use std::fmt::Debug;
use std::ops::Range;

/// A branch that the assembler resolved within a section, found by decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalBranch {
    /// Offset of the displacement field in the section.
    pub field: u64,
    /// Where it leads, offset in the section.
    pub target: u64,
    /// Width of the field, bytes: 1 or 4.
    pub width: u8,
    /// True where it is a call.
    pub call: bool,
}

/// A call's argument that may be a line number: a constant, right behind the argument that holds an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineArgument {
    /// The bytes of the constant, offsets in the section.
    pub field: Range<u64>,
    /// The constant.
    pub value: u32,
    /// The reference to the file's or function's name.
    pub place: Reloc,
    /// Whom the call names.
    pub callee: Option<SymId>,
}

/// What an instruction does with the address that a relocation gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads or writes the memory right there.
    Direct {
        /// It may write.
        writes: bool,
    },
    /// It reads or writes memory at a distance from there that a register holds.
    Indexed {
        /// It may write.
        writes: bool,
    },
    /// It compares something with the address, and does nothing else with it.
    Compared,
    /// It computes with the address, passes it on or keeps it.
    Address,
}

impl Access {
    /// [`Access::Compared`] for an address with which, as `is_compared` says, nothing else is done.
    pub fn of_address(self, is_compared: impl FnOnce() -> bool) -> Self {
        match self {
            Self::Address if is_compared() => Self::Compared,
            other => other,
        }
    }

    /// True if it may write there.
    pub fn writes(self) -> bool {
        matches!(self, Self::Direct { writes: true } | Self::Indexed { writes: true })
    }
}

/// How a relocation's field is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// S + A, `bytes` wide.
    Absolute {
        /// Width of the field.
        bytes: u8,
    },
    /// S + A - P, `bytes` wide.
    Relative {
        /// Width of the field.
        bytes: u8,
    },
    /// Some bits of an instruction or a half of it: `bytes` at the relocation's offset, of which `mask` are
    /// the field; the rest belongs to the instruction. What they hold, the architecture alone knows.
    Part {
        /// Width of what holds the field: 2 or 4.
        bytes: u8,
        /// The field's bits.
        mask: u32,
    },
    /// No field at all (a marker).
    None,
}

impl Field {
    /// How many bytes from the relocation's offset on hold the field.
    pub fn bytes(self) -> usize {
        match self {
            Field::Absolute { bytes } | Field::Relative { bytes } | Field::Part { bytes, .. } => bytes.into(),
            Field::None => 0,
        }
    }

    /// Zeroes the field in `code`, which begins at the relocation's offset and may end early.
    pub fn blank(self, code: &mut [u8]) {
        let len = self.bytes().min(code.len());
        match self {
            Field::Part { mask, .. } => {
                code[..len].iter_mut().zip(mask.to_le_bytes()).for_each(|(byte, field)| *byte &= !field)
            }
            _ => code[..len].fill(0),
        }
    }

    /// True where the field in `code` holds nothing but zeroes.
    pub fn is_blank(self, code: &[u8]) -> bool {
        let mut blanked = code.to_vec();
        self.blank(&mut blanked);
        blanked == code
    }
}

/// An architecture.
pub trait Arch: Debug + Sync {
    /// `uname -m`: x86_64, ppc64le.
    fn name(&self) -> &'static str;

    /// `e_machine`.
    fn machine(&self) -> u16;

    /// Refuses `e_flags` of an ABI that is not the kernel's.
    ///
    /// # Errors
    /// The ABI, by name.
    fn check_flags(&self, _flags: u32) -> Result<()> {
        Ok(())
    }

    /// Refuses a section that objects of another ABI alone have.
    ///
    /// # Errors
    /// The ABI, by name.
    fn check_section(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    /// What a relocation type does; None for a type this project does not know.
    fn field(&self, kind: u32) -> Option<Field>;

    /// The name of a relocation type, for messages.
    fn reloc_name(&self, kind: u32) -> String;

    /// Relocation type of a call or jump to a symbol, S + A - P in 4 bytes.
    fn call_reloc(&self) -> u32;

    /// Relocation type of a self-relative field of data, S + A - P in 4 bytes.
    fn relative_reloc(&self) -> u32;

    /// Relocation type of a pointer, S + A in 8 bytes.
    fn pointer_reloc(&self) -> u32;

    /// The flags with which rustc makes code that fits C compiled with the flags `c`: those of one unit of the kernel.
    /// For kernels that know no Rust themselves.
    ///
    /// # Errors
    /// A flag that changes what code has to be like and has no known counterpart, by name.
    fn rust_flags(&self, c: &[String]) -> Result<Vec<String>>;

    /// The flags with which clang reads the kernel's headers, which were written for gcc: the target triple first.
    fn clang_flags(&self) -> &'static [&'static str];

    /// True where two types mean the same for an undisturbed reference (PC32 and PLT32 …).
    fn same_reloc(&self, a: u32, b: u32) -> bool;

    /// How far the referenced place lies beyond `addend`: 0 for pointers; for a PC-relative field the
    /// distance from the field to the end of its instruction, bytes; for a field that counts from the start of
    /// its table entry the way back to there. `around` is the function or the entry.
    fn bias(&self, section: &Section, around: Range<u64>, reloc: &Reloc) -> i64;

    /// [`Arch::bias`] of all relocations of a function at once, by their offsets, in order.
    fn biases(&self, section: &Section, function: Range<u64>) -> Vec<(u64, i64)> {
        let relocs = section.relocs_in(function.clone());
        relocs.iter().map(|r| (r.offset, self.bias(section, function.clone(), r))).collect()
    }

    /// True for a reference to a piece of code without any bytes (an alternative that is nothing but nops): it
    /// leads to a place, but not to what is there.
    fn names_nothing(&self, _section: &Section, _entry: Range<u64>, _reloc: &Reloc) -> bool {
        false
    }

    /// Branches of `range` that leave it without a relocation; None when the code cannot be decoded.
    fn local_branches(&self, section: &Section, range: Range<u64>) -> Option<Vec<LocalBranch>>;

    /// True where control can leave the code in `range` for good: by a return, or by a jump elsewhere; `stays` says which
    /// relocated jumps do not. True as well where the code cannot be decoded.
    fn leaves(&self, section: &Section, range: Range<u64>, stays: &dyn Fn(&Reloc) -> bool) -> bool;

    /// The addend of a [`Arch::call_reloc`] that leads `distance` bytes behind the symbol, or behind where
    /// [`Arch::entered`] says.
    fn branch_addend(&self, distance: i64) -> i64;

    /// How far behind its symbol a relocation of this type leads by itself, bytes: to the local entry of a function of
    /// ppc64le, which the code that applies the relocation looks up.
    fn entered(&self, _kind: u32, _symbol: &Symbol) -> i64 {
        0
    }

    /// True where a relocation of this type can lead from a module to a place in a function of the kernel, `addend`
    /// bytes behind its entry.
    fn reaches_kernel(&self, _kind: u32, _addend: i64) -> bool {
        true
    }

    /// True where a field of this type, in data of a module, can hold the way to a place in the kernel or in another module.
    fn spans_modules(&self, _kind: u32) -> bool {
        true
    }

    /// What the instructions of a function do with the addresses that relocations give them, by the relocations' offsets, in
    /// order; those of branches and of code that cannot be decoded are left out.
    fn accesses(&self, section: &Section, function: Range<u64>) -> Vec<(u64, Access)>;

    /// What a function does with addresses that relocations put into registers, as far as it does so on each way through
    /// its code: writes through them, and calls that are given them.
    fn later(&self, section: &Section, function: Range<u64>) -> Vec<later::Use>;

    /// True if a reference in `section` is a call or jump: it enters what it names, and leaves no pointer to it behind.
    fn is_branch(&self, section: &Section, reloc: &Reloc) -> bool {
        section.is_text() && self.branch_at(section, reloc).is_some()
    }

    /// True if a field of data holds the distance from the start of its table to the entry of what it names (`.long f - table`):
    /// then the relocation, which counts from the field, has the way from there to the field as its addend. `around` is the
    /// table, `addend` counts from the symbol of what is named.
    fn is_distance(&self, section: &Section, around: Range<u64>, reloc: &Reloc, addend: i64) -> bool {
        !section.is_text()
            && matches!(self.field(reloc.kind), Some(Field::Relative { .. }))
            && reloc.offset.checked_sub(around.start).is_some_and(|way| way as i64 == addend)
    }

    /// Where the branch begins whose target `reloc` is, offset in the section, and whether it is a call; None
    /// where the relocation belongs to no branch.
    fn branch_at(&self, section: &Section, reloc: &Reloc) -> Option<(u64, bool)>;

    /// True where `range` holds nothing but what assemblers fill gaps with: nops, traps, zeroes.
    fn is_padding(&self, section: &Section, range: Range<u64>) -> bool;

    /// Constants among the arguments of calls that may be line numbers.
    fn line_arguments(&self, section: &Section, range: Range<u64>, relocs: &[Reloc]) -> Vec<LineArgument>;

    /// True where execution may run past the end of `range` (its last instruction is no jump, return or
    /// trap), or where this is unknown.
    fn runs_on(&self, section: &Section, range: Range<u64>) -> bool;

    /// Where the function begins that fills the section alone, when no symbol says it, and `st_other` of such a symbol.
    fn entry_of(&self, object: &Object, section: SecId) -> (u64, u8);

    /// True when the function that starts at `entry` has a place for ftrace, so that it can be live patched.
    fn has_ftrace_site(&self, object: &Object, section: usize, entry: u64, end: u64) -> bool;

    /// True if an indirect call may enter a function that begins with `code`, of a kernel that makes the processor check it.
    fn may_be_entered_indirectly(&self, _code: &[u8]) -> bool {
        true
    }

    /// When `mine` begins with a jump and `theirs` with the nop that objtool puts in its place at a jump
    /// label site, their length, bytes.
    fn is_disabled_jump(&self, mine: &[u8], theirs: &[u8]) -> Option<usize>;

    /// Names that every object may refer to and that are no references of the source's own (`__fentry__`).
    fn is_tracing_symbol(&self, name: &str) -> bool;

    /// True for a writable section in which compilers put nothing without a name but constants that hold addresses.
    fn is_constant_pool(&self, _section: &str) -> bool {
        false
    }

    /// True for a section of addresses and constants, 8 bytes each, through which code reaches its data: the
    /// TOC of powerpc. The entries belong to the code that uses them.
    fn is_toc(&self, _section: &str) -> bool {
        false
    }

    /// True for an undefined symbol that the linker or the module loader defines itself (`.TOC.`).
    fn is_linker_symbol(&self, _name: &str) -> bool {
        false
    }

    /// A compiler's assembly with room for any distance in each jump to a symbol. None where an assembler leaves no jump between
    /// functions without that: branches of powerpc have four bytes, and compilers make none of the conditional ones to a function.
    fn long_jumps(&self, _assembly: &str) -> Option<String> {
        None
    }

    /// How code is compiled that leaves its place for another module; None where the kernel's own way will do.
    fn transplant(&self) -> Option<&'static dyn Transplant> {
        None
    }

    /// What the architecture's own module loader would find wrong with a finished live patch module.
    fn module_faults(&self, _object: &Object) -> Vec<String> {
        Vec::new()
    }

    /// The dynamic relocation that adds to a pointer how far the image was moved.
    fn relative_dynamic(&self) -> u32;

    /// What the first instructions of the function at `at` give the register through which code reaches its
    /// data, where they do (the TOC pointer of powerpc).
    fn data_base(&self, _code: &[u8], _at: u64) -> Option<u64> {
        None
    }

    /// The linked bytes of a piece, less the edits that the linker makes beside the fields of relocations: there
    /// is what the compiler made. Only edits that are known exactly; None where the image has no such bytes.
    fn undo_link_edits(&self, linked: &Linked<'_>) -> Option<Vec<u8>> {
        let len = linked.range.end.checked_sub(linked.range.start)?;
        linked.image.bytes(linked.at, len).map(<[u8]>::to_vec)
    }

    /// Where a [`Field::Part`] in a linked image leads.
    ///
    /// # Errors
    /// Why that is unknown, as text.
    fn part_target(&self, _linked: &Linked<'_>, reloc: &Reloc) -> Result<Target, String> {
        Err(format!("{} is not followed in a linked image", self.reloc_name(reloc.kind)))
    }

    /// Bytes in front of a function's entry that its first instructions read (large-model code of powerpc keeps
    /// the way to its TOC there).
    fn lead_in(&self, _section: &Section, _entry: u64) -> u64 {
        0
    }

    /// True where assemblers reach local symbols by way of their sections; false where a call has to name the function,
    /// because its symbol says where it is entered.
    fn refers_by_section(&self) -> bool {
        false
    }

    /// Code that is at `at` as assembly; every byte is in one line. `name` is asked for the targets of references
    /// and for addresses outside of the code.
    fn disassemble(&self, code: &[u8], at: u64, name: &mut dyn FnMut(Ask) -> Option<String>) -> Vec<Line>;

    /// An instruction that traps.
    fn trap(&self) -> &'static [u8];
}

/// How code is compiled that is to run in another module than the kernel's source puts it in.
pub trait Transplant: Debug + Sync {
    /// Flags behind the kernel's own.
    fn flags(&self) -> &'static [&'static str];

    /// How the compiler's assembly is changed before it is assembled.
    ///
    /// # Errors
    /// A construct that cannot be moved, with its line.
    fn edit(&self, assembly: &str) -> Result<String>;
}

/// The architectures that kmend knows.
const ALL: [&dyn Arch; 2] = [&x86_64::X86_64, &ppc64le::PPC64LE];

fn known() -> String {
    ALL.map(Arch::name).join(", ")
}

/// The architecture of an ELF header.
///
/// # Errors
/// An architecture that kmend does not know, or another ABI of one that it knows (ELFv1 on powerpc).
pub fn by_machine(machine: u16, flags: u32) -> Result<&'static dyn Arch> {
    let Some(arch) = ALL.into_iter().find(|a| a.machine() == machine) else {
        bail!("ELF machine {machine} is not an architecture that kmend knows ({})", known());
    };
    arch.check_flags(flags)?;
    Ok(arch)
}

/// The architecture of this name (`uname -m`).
///
/// # Errors
/// A name that kmend does not know.
pub fn by_name(name: &str) -> Result<&'static dyn Arch> {
    let found = ALL.into_iter().find(|a| a.name() == name);
    found.with_context(|| format!("{name} is not an architecture that kmend knows ({})", known()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmend_shared::arch::ARCHES;

    #[test]
    fn each_row_of_the_shared_table_has_its_code_here() {
        assert_eq!(
            ALL.map(|arch| (arch.name(), arch.machine())).to_vec(),
            ARCHES.iter().map(|a| (a.uname, a.machine)).collect::<Vec<_>>()
        );
    }
}
