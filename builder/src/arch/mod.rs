// SPDX-License-Identifier: GPL-2.0-or-later
//! What differs between architectures: one trait, one file each. No relocation type or machine number
//! is named anywhere else.

pub mod x86_64;

use crate::elf::{Object, Reloc, Section, SymId};
use anyhow::{bail, Result};
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
    /// No field at all (a marker).
    None,
}

/// An architecture.
pub trait Arch: Debug + Sync {
    /// `uname -m`: x86_64, ppc64le.
    fn name(&self) -> &'static str;

    /// `e_machine`.
    fn machine(&self) -> u16;

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

    /// True where two types mean the same for an undisturbed reference (PC32 and PLT32 …).
    fn same_reloc(&self, a: u32, b: u32) -> bool;

    /// How far the referenced place lies beyond `addend`: 0 for pointers; for a PC-relative field the
    /// distance from the field to the end of its instruction, bytes.
    fn bias(&self, section: &Section, function: Range<u64>, reloc: &Reloc) -> i64;

    /// [`Arch::bias`] of all relocations of a function at once, by their offsets, in order.
    fn biases(&self, section: &Section, function: Range<u64>) -> Vec<(u64, i64)> {
        let relocs = section.relocs_in(function.clone());
        relocs.iter().map(|r| (r.offset, self.bias(section, function.clone(), r))).collect()
    }

    /// Branches of `range` that leave it without a relocation; None when the code cannot be decoded.
    fn local_branches(&self, section: &Section, range: Range<u64>) -> Option<Vec<LocalBranch>>;

    /// True where `range` holds nothing but what assemblers fill gaps with: nops, traps, zeroes.
    fn is_padding(&self, section: &Section, range: Range<u64>) -> bool;

    /// Constants among the arguments of calls that may be line numbers.
    fn line_arguments(&self, section: &Section, range: Range<u64>, relocs: &[Reloc]) -> Vec<LineArgument>;

    /// True where execution may run past the end of `range` (its last instruction is no jump, return or
    /// trap), or where it cannot be told.
    fn runs_on(&self, section: &Section, range: Range<u64>) -> bool;

    /// True when the function that starts at `entry` has a place for ftrace, so that it can be live patched.
    fn has_ftrace_site(&self, object: &Object, section: usize, entry: u64, end: u64) -> bool;

    /// When `mine` begins with a jump and `theirs` with the nop that objtool puts in its place at a jump
    /// label site, their length, bytes.
    fn is_disabled_jump(&self, mine: &[u8], theirs: &[u8]) -> Option<usize>;

    /// Names that every object may refer to and that are no references of the source's own (`__fentry__`).
    fn is_tracing_symbol(&self, name: &str) -> bool;
}

/// The architecture of an ELF header.
pub fn by_machine(machine: u16, _flags: u32) -> Result<&'static dyn Arch> {
    if machine == x86_64::X86_64.machine() {
        return Ok(&x86_64::X86_64);
    }
    bail!("ELF machine {machine} is not an architecture that kmend knows (x86_64)");
}

/// The architecture of this name (`uname -m`).
pub fn by_name(name: &str) -> Result<&'static dyn Arch> {
    match name {
        "x86_64" => Ok(&x86_64::X86_64),
        _ => bail!("{name} is not an architecture that kmend knows (x86_64)"),
    }
}
