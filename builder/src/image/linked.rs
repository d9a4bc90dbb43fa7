// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel image as something to prove against: everything is linked, references are addresses.

use super::shipped::{Leads, Named, Piece, Shipped, Spot};
use super::{lines, Image};
use crate::arch::line::Line;
use crate::arch::linked::{Linked, Memory, Target};
use crate::arch::{Arch, Field};
use crate::elf::Reloc;
use crate::section_table::row_of;
use std::borrow::Cow;

fn spot(at: u64) -> Spot {
    Spot { space: 0, at }
}

impl Memory for Image {
    fn bytes(&self, at: u64, len: u64) -> Option<&[u8]> {
        Image::bytes(self, at, len)
    }

    fn data_base(&self) -> Option<u64> {
        self.data_base
    }

    fn is_symbol(&self, at: u64) -> bool {
        self.kallsyms.is_at(at)
    }
}

impl Image {
    fn linked<'a>(&'a self, piece: &Piece<'a>) -> Linked<'a> {
        Linked {
            object: piece.object,
            section: piece.section,
            range: piece.range.clone(),
            at: piece.spot.at,
            image: self,
        }
    }
}

impl Shipped for Image {
    fn functions(&self, name: &str) -> Vec<Spot> {
        self.kallsyms.named(name).filter(|s| s.is_code()).map(|s| spot(s.address)).collect()
    }

    fn code(&self, piece: &Piece<'_>) -> Option<Cow<'_, [u8]>> {
        piece.object.arch.undo_link_edits(&self.linked(piece)).map(Cow::Owned)
    }

    fn bytes(&self, at: Spot, len: u64) -> Option<&[u8]> {
        Image::bytes(self, at.at, len)
    }

    fn table(&self, name: &str) -> Option<Vec<(Spot, u64)>> {
        let (start, end) = row_of(name)?.bounds?;
        let at = |name| self.kallsyms.named(name).next().map(|s| s.address);
        let start = at(start)?;
        Some(vec![(spot(start), at(end)?.checked_sub(start)?)])
    }

    fn string(&self, at: Spot, unit: usize) -> Option<&[u8]> {
        Image::string(self, at.at, unit)
    }

    fn is_plain(&self, at: Spot, len: u64) -> bool {
        self.pointers.none_in(at.at, len)
    }

    fn follow(&self, piece: &Piece<'_>, reloc: &Reloc, field: Field) -> Leads {
        let at = piece.place(reloc.offset);
        let linked = self.linked(piece);
        if let Field::Part { .. } = field {
            return match piece.object.arch.part_target(&linked, reloc) {
                Ok(Target::Symbol(place)) => Leads::Place(spot(place)),
                Ok(Target::Held(place)) => Leads::Held(spot(place)),
                Err(why) => Leads::Nowhere(why),
            };
        }
        let Some(raw) = Image::bytes(self, at.at, field.bytes() as u64) else {
            return Leads::Nowhere("the shipped image ends here".into());
        };
        let value = match raw.len() {
            4 => i64::from(i32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])),
            8 => i64::from_le_bytes([raw[0], raw[1], raw[2], raw[3], raw[4], raw[5], raw[6], raw[7]]),
            n => return Leads::Nowhere(format!("a field of {n} bytes is not known")),
        };
        let target = match field {
            Field::Relative { .. } => value.wrapping_add(at.at as i64),
            // In an image that moves itself, a number that looks like an address is none.
            Field::Absolute { bytes: 8 } if !self.pointers.is_empty() && !self.pointers.is_one(at.at) => {
                if value != 0 || !linked.may_be_missing(reloc) {
                    return Leads::Nowhere("the shipped code has a number here, no address".into());
                }
                value
            }
            _ => value,
        };
        Leads::Place(spot(target.wrapping_sub(reloc.addend) as u64))
    }

    fn is_named(&self, name: &str, at: Spot) -> Named {
        if self.arch.is_linker_symbol(name) {
            return if self.data_base == Some(at.at) { Named::Yes } else { Named::OtherUnits };
        }
        Named::of(self.kallsyms.named(name).map(|symbol| symbol.address == at.at))
    }

    fn describe(&self, at: Spot) -> String {
        let symbols = self.kallsyms.symbols();
        match symbols.partition_point(|s| s.address <= at.at).checked_sub(1).map(|i| &symbols[i]) {
            Some(symbol) if at.at - symbol.address < 1 << 20 => {
                format!("{}+{:#x}", symbol.name, at.at - symbol.address)
            }
            _ => format!("{:#x}", at.at),
        }
    }

    fn lines(&self, arch: &dyn Arch, at: Spot, len: u64) -> Vec<Line> {
        lines::of_kernel(arch, &self.kallsyms, Image::bytes(self, at.at, len).unwrap_or_default(), at.at)
    }
}
