// SPDX-License-Identifier: GPL-2.0-or-later
//! Line tables: an object compiled with at least -g1 in; out, for each instruction, the source line and the inlined
//! functions that it came from.

use addr2line::Context as Lines;
use anyhow::{Context, Result};
use gimli::{EndianRcSlice, LittleEndian};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationKind, RelocationTarget};
use std::rc::Rc;

/// In a relocatable file every section begins at address 0. Here each has this much for itself, so that an
/// address tells its section.
pub(crate) const ROOM: u64 = 1 << 32;

/// One function that an instruction came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its name.
    pub function: String,
    /// The source file, as the compiler named it.
    pub file: String,
    /// The line, as the compiler counts.
    pub line: u32,
}

/// The debug information of one object.
pub struct Debug(Lines<EndianRcSlice<LittleEndian>>);

impl Debug {
    /// Reads an object; None where it has no line tables that can be read as they are (compressed ones cannot).
    ///
    /// # Errors
    /// Malformed debug information.
    pub fn of_object(bytes: &[u8]) -> Result<Option<Self>> {
        let Ok(file) = object::File::parse(bytes) else { return Ok(None) };
        if file.section_by_name(".debug_line").is_none() {
            return Ok(None);
        }
        let load = |id: gimli::SectionId| -> Result<EndianRcSlice<LittleEndian>> {
            let data = match file.section_by_name(id.name()) {
                Some(section) => relocated(&file, &section).with_context(|| format!("section {}", id.name()))?,
                None => Vec::new(),
            };
            Ok(EndianRcSlice::new(Rc::from(data), LittleEndian))
        };
        let dwarf = gimli::Dwarf::load(load)?;
        Ok(Some(Self(Lines::from_dwarf(dwarf).context("malformed debug information")?)))
    }

    /// Where the instruction at `offset` in a section (by its number in the file) came from: the innermost inlined
    /// function first, the function itself last. Empty where nothing is known.
    pub fn frames(&self, section: usize, offset: u64) -> Vec<Frame> {
        let Some(address) = (section as u64 + 1).checked_mul(ROOM).and_then(|base| base.checked_add(offset)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let Ok(mut frames) = self.0.find_frames(address).skip_all_loads() else { return found };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref().and_then(|f| f.raw_name().ok()).map(|n| n.into_owned());
            let place = frame.location.and_then(|l| Some((l.file?.to_string(), l.line?)));
            let (Some(function), Some((file, line))) = (name, place) else { return Vec::new() };
            found.push(Frame { function, file, line });
        }
        found
    }
}

/// The contents of a section of debug information with its references filled in. Only what compilers put there:
/// absolute fields of 4 and 8 bytes; anything else stays as it is.
pub(crate) fn relocated(file: &object::File<'_>, section: &object::Section<'_, '_>) -> Result<Vec<u8>> {
    let mut data = section.data().context("cannot be read")?.to_vec();
    for (offset, reloc) in section.relocations() {
        let RelocationTarget::Symbol(symbol) = reloc.target() else { continue };
        let (RelocationKind::Absolute, Ok(symbol)) = (reloc.kind(), file.symbol_by_index(symbol)) else { continue };
        let base = match symbol.section_index().and_then(|s| Some((s, file.section_by_index(s).ok()?))) {
            Some((id, home)) if !is_debug(&home) => (id.0 as u64 + 1).wrapping_mul(ROOM),
            _ => 0,
        };
        let value = base.wrapping_add(symbol.address()).wrapping_add(reloc.addend() as u64);
        let width = usize::from(reloc.size()) / 8;
        let field = usize::try_from(offset).ok().and_then(|at| data.get_mut(at..at.checked_add(width)?));
        if let (Some(field), 4 | 8) = (field, width) {
            field.copy_from_slice(&value.to_le_bytes()[..width]);
        }
    }
    Ok(data)
}

fn is_debug(section: &object::Section<'_, '_>) -> bool {
    section.name().is_ok_and(|name| name.starts_with(".debug_"))
}
