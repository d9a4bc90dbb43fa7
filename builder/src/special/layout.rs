// SPDX-License-Identifier: GPL-2.0-or-later
//! Sizes of the C structs in special sections: from the command line, the target's BTF or the object's
//! DWARF, never from a constant.

use crate::elf::debug::relocated;
use crate::section_table::{struct_named, structs, CStruct};
use anyhow::{bail, Context, Result};
use gimli::{EndianSlice, LittleEndian};
use object::Object as _;
use std::collections::BTreeMap;
use std::fmt;

/// Known sizes, bytes by struct name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layouts(BTreeMap<String, u64>);

impl fmt::Display for Layouts {
    /// As [`Layouts::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|(name, size)| format!("{name}={size}")).collect();
        f.write_str(&all.join(","))
    }
}

impl Layouts {
    /// True where no size is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The size of `name`, bytes, where it is known.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// The size of `of`, bytes, if it is known.
    pub fn size_of(&self, of: &CStruct) -> Option<u64> {
        self.size(of.name)
    }

    /// Sets a size.
    pub fn set(&mut self, name: &str, size: u64) {
        self.0.insert(name.into(), size);
    }

    /// Takes from `other` what is not known here yet.
    pub fn fill(&mut self, other: Layouts) {
        for (name, size) in other.0 {
            self.0.entry(name).or_insert(size);
        }
    }

    /// Reads `jump_entry=16,alt_instr=14`.
    ///
    /// # Errors
    /// A name that is none of [`structs`], or a size that is no number from 1 to 4096.
    pub fn parse(text: &str) -> Result<Self> {
        let mut layouts = Self::default();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, size) = part.split_once('=').with_context(|| format!("--layout: {part:?} is not NAME=BYTES"))?;
            if struct_named(name.as_bytes()).is_none() {
                let mut all: Vec<&str> = structs().map(|of| of.name).collect();
                all.sort_unstable();
                all.dedup();
                bail!("--layout: {name:?} is not one of the structs that it takes: {}", all.join(", "));
            }
            match size.parse::<u64>() {
                Ok(size @ 1..=4096) => layouts.set(name, size),
                _ => bail!("--layout: {name}: {size:?} is no size in bytes from 1 to 4096"),
            }
        }
        Ok(layouts)
    }

    /// Sizes from the DWARF of an object; empty where it has none.
    ///
    /// # Errors
    /// DWARF that is there but malformed.
    pub fn from_dwarf(bytes: &[u8]) -> Result<Self> {
        let mut layouts = Self::default();
        let Ok(file) = object::File::parse(bytes) else { return Ok(layouts) };
        if file.section_by_name(".debug_info").is_none() {
            return Ok(layouts);
        }
        let sections = gimli::DwarfSections::load(|id| relocated(&file, id.name()))?;
        let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        let mut units = dwarf.units();
        while let Some(header) = units.next().context("malformed DWARF unit")? {
            let unit = dwarf.unit(header).context("malformed DWARF unit")?;
            let mut entries = unit.entries_raw(None).context("malformed DWARF entries")?;
            while !entries.is_empty() {
                let Some(abbreviation) = entries.read_abbreviation().context("malformed DWARF entry")? else {
                    continue;
                };
                let is_struct = abbreviation.tag() == gimli::DW_TAG_structure_type;
                let (mut name, mut size) = (None, None);
                for spec in abbreviation.attributes() {
                    let attribute = entries.read_attribute(*spec).context("malformed DWARF attribute")?;
                    match attribute.name() {
                        gimli::DW_AT_name if is_struct => name = Some(attribute.value()),
                        gimli::DW_AT_byte_size => size = attribute.udata_value(),
                        _ => {}
                    }
                }
                let (Some(name), Some(size)) = (name, size) else { continue };
                let name = dwarf.attr_string(&unit, name).context("malformed DWARF name")?.to_string_lossy();
                if struct_named(name.as_bytes()).is_some() {
                    layouts.0.entry(name.into_owned()).or_insert(size);
                }
            }
        }
        Ok(layouts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_option() {
        let layouts = Layouts::parse("jump_entry=16, alt_instr=14").unwrap();
        assert_eq!(layouts.size("jump_entry"), Some(16));
        assert_eq!(layouts.size("alt_instr"), Some(14));
        assert_eq!(layouts.size("bug_entry"), None);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(Layouts::parse("jump=16").unwrap_err().to_string().contains("\"jump\" is not one of the structs"));
        assert!(Layouts::parse("jump_entry=0").is_err());
        assert!(Layouts::parse("jump_entry").is_err());
    }
}
