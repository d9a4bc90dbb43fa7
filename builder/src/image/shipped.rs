// SPDX-License-Identifier: GPL-2.0-or-later
//! What a kernel's vendor ships, image or module file, as something to look things up in and to compare rebuilt code with.

use crate::arch::line::Line;
use crate::arch::{Arch, Field};
use crate::elf::{Object, Reloc, SecId};
use std::borrow::Cow;
use std::ops::Range;

/// A place in what is shipped: an address in vmlinux, or an offset in a section of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spot {
    /// Section of the module; 0 for vmlinux.
    pub space: usize,
    /// Address or offset.
    pub at: u64,
}

impl Spot {
    /// The place `by` bytes further on.
    pub fn moved(self, by: i64) -> Self {
        Self { at: self.at.wrapping_add_signed(by), ..self }
    }
}

/// A piece of the rebuilt object, and where in what is shipped it is compared.
#[derive(Clone)]
pub struct Piece<'a> {
    /// The rebuilt object.
    pub object: &'a Object,
    /// The section.
    pub section: SecId,
    /// The piece, offsets in the section.
    pub range: Range<u64>,
    /// Where its first byte is expected.
    pub spot: Spot,
}

impl Piece<'_> {
    /// Its relocations.
    pub fn relocs(&self) -> &[Reloc] {
        self.object.sections[self.section].relocs_in(self.range.clone())
    }

    /// Where the byte at `offset` of the section is expected.
    pub fn place(&self, offset: u64) -> Spot {
        self.spot.moved(offset.wrapping_sub(self.range.start) as i64)
    }
}

/// What a reference in the shipped code leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To this place (the value of the symbol, the addend taken off).
    Place(Spot),
    /// Right to this place, where the rebuilt code reads an entry of a table (the TOC of powerpc) that holds it.
    Held(Spot),
    /// To a symbol that the module itself does not define.
    Undefined(String),
    /// There is no such reference there.
    Nowhere(String),
}

/// What is shipped: the kernel image, or a module file.
pub trait Shipped {
    /// The places of the functions of this name.
    fn functions(&self, name: &str) -> Vec<Spot>;
    /// The shipped bytes of a piece as the compiler made them, edits of the linker undone; None where there are none.
    fn code(&self, piece: &Piece<'_>) -> Option<Cow<'_, [u8]>>;
    /// `len` bytes at a place; None outside, or where there are none.
    fn bytes(&self, spot: Spot, len: u64) -> Option<&[u8]>;
    /// The places of the entries of the special section `name`: the first byte, and how many bytes. None where they are not known.
    fn table(&self, name: &str) -> Option<Vec<(Spot, u64)>>;
    /// The string at a place, of letters of `unit` bytes, up to the zero that ends it.
    fn string(&self, spot: Spot, unit: usize) -> Option<&[u8]>;
    /// True where `len` bytes are just numbers: nothing in them is a reference.
    fn is_plain(&self, spot: Spot, len: u64) -> bool;
    /// Follows the shipped reference at the field of `reloc`, which is one of the piece's.
    fn follow(&self, piece: &Piece<'_>, reloc: &Reloc, field: Field) -> Leads;
    /// Whether a symbol of this name is at this place.
    fn is_named(&self, name: &str, spot: Spot) -> Named;
    /// A place in words.
    fn describe(&self, spot: Spot) -> String;
    /// `len` bytes of code as assembly, counted from the place on.
    fn lines(&self, arch: &dyn Arch, spot: Spot, len: u64) -> Vec<Line>;
}

/// Whether a symbol of some name is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// It is.
    Yes,
    /// Symbols of this name are at other places only.
    OtherUnits,
    /// No symbol of this name is in the symbol table (linker-made and section-end symbols are not).
    Unlisted,
}

impl Named {
    /// The answer, from whether each symbol of the name is at the place.
    pub(super) fn of(mut at_place: impl Iterator<Item = bool>) -> Self {
        match at_place.next() {
            None => Self::Unlisted,
            Some(first) if first || at_place.any(|is| is) => Self::Yes,
            Some(_) => Self::OtherUnits,
        }
    }
}
