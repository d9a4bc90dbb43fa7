// SPDX-License-Identifier: GPL-2.0-or-later
//! Rebuilt code beside linked code that should be the same: what an architecture is given to undo a linker's
//! edits and to follow references.

use crate::elf::{Object, Reloc, SecId};
use std::ops::Range;

/// A linked image, as far as references need it.
pub trait Memory {
    /// `len` bytes at an address; None where the image holds none.
    fn bytes(&self, at: u64, len: u64) -> Option<&[u8]>;
    /// What code keeps in the register through which it reaches its data (the TOC pointer of powerpc).
    fn data_base(&self) -> Option<u64>;
    /// True where a symbol of the running kernel is.
    fn is_symbol(&self, at: u64) -> bool;
}

/// A piece of a rebuilt object and its place in a linked image.
#[derive(Clone)]
pub struct Linked<'a> {
    /// The rebuilt object.
    pub object: &'a Object,
    /// The section.
    pub section: SecId,
    /// The piece, offsets in the section.
    pub range: Range<u64>,
    /// Where its first byte should be.
    pub at: u64,
    /// The image.
    pub image: &'a dyn Memory,
}

/// Where the field of a reference leads in a linked image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The symbol (addend taken off) is here.
    Symbol(u64),
    /// The linker put here what the entry of the table held that the rebuilt code reads.
    Held(u64),
}

impl Linked<'_> {
    /// The relocations of the piece.
    pub fn relocs(&self) -> &[Reloc] {
        self.object.sections[self.section].relocs_in(self.range.clone())
    }

    /// Where the place at `offset` in the section is in the image.
    pub fn address(&self, offset: u64) -> u64 {
        self.at.wrapping_add(offset.wrapping_sub(self.range.start))
    }

    /// The four bytes at `offset` in the section, as rebuilt.
    pub fn rebuilt_word(&self, offset: u64) -> Option<u32> {
        word(self.object.sections[self.section].bytes(offset..offset.checked_add(4)?))
    }

    /// The four bytes that are in the image for those at `offset` in the section.
    pub fn shipped_word(&self, offset: u64) -> Option<u32> {
        word(self.image.bytes(self.address(offset), 4)?)
    }

    /// True for a symbol that may be defined nowhere.
    pub fn may_be_missing(&self, reloc: &Reloc) -> bool {
        let symbol = &self.object.symbols[reloc.symbol];
        symbol.is_undefined() && symbol.bind == crate::elf::Bind::Weak
    }
}

fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}
