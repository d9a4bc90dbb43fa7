// SPDX-License-Identifier: GPL-2.0-or-later
//! The shipped kernel as it runs: image, symbols, types, modules.

pub mod btf;
pub mod kallsyms;
pub mod modules;
pub mod symvers;
pub mod vmlinuz;

use crate::files;
use crate::special::layout::Layouts;
use anyhow::{bail, ensure, Context, Result};
use kallsyms::Kallsyms;
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSection as _};
use std::ops::Range;
use std::path::Path;

/// A kernel image has up to five.
const MOST_SEGMENTS: usize = 32;

/// A kernel image as linked, with the symbols that the running kernel has.
pub struct Image {
    bytes: Vec<u8>,
    segments: Vec<(Range<u64>, usize)>,
    /// The running kernel's symbols.
    pub kallsyms: Kallsyms,
    /// Struct sizes from its BTF.
    pub layouts: Layouts,
}

impl Image {
    /// Reads a vmlinux (as `target` took it out of the vmlinuz).
    ///
    /// # Errors
    /// Not a kernel image, malformed, or without kallsyms.
    pub fn load(path: &Path) -> Result<Self> {
        Self::parse(files::read(path)?).with_context(|| format!("{}", path.display()))
    }

    /// The same from bytes.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        let elf = ElfFile64::<LittleEndian>::parse(bytes.as_slice()).context("not a 64-bit little-endian ELF image")?;
        let mut segments = Vec::new();
        for header in elf.elf_program_headers() {
            if header.p_type.get(LittleEndian) != object::elf::PT_LOAD {
                continue;
            }
            let (start, size, offset) = (
                header.p_vaddr.get(LittleEndian),
                header.p_filesz.get(LittleEndian),
                header.p_offset.get(LittleEndian),
            );
            ensure!(segments.len() < MOST_SEGMENTS, "more than {MOST_SEGMENTS} segments: this is no kernel image");
            let end = start.checked_add(size).context("a segment wraps around")?;
            let inside = offset.checked_add(size).is_some_and(|e| e <= bytes.len() as u64);
            ensure!(inside, "a segment lies outside of the file: is it truncated?");
            segments.push((start..end, offset as usize));
        }
        let memory: Vec<Range<u64>> = elf
            .elf_program_headers()
            .iter()
            .filter(|h| h.p_type.get(LittleEndian) == object::elf::PT_LOAD)
            .map(|h| {
                h.p_vaddr.get(LittleEndian)..h.p_vaddr.get(LittleEndian).saturating_add(h.p_memsz.get(LittleEndian))
            })
            .collect();
        let (Some(low), Some(high)) = (memory.iter().map(|m| m.start).min(), memory.iter().map(|m| m.end).max()) else {
            bail!("an ELF file without loadable segments is no kernel image");
        };
        let text = elf.section_by_name(".text").map(|s| s.address()).unwrap_or(low);
        let mut kallsyms = None;
        let mut last = None;
        for (range, offset) in &segments {
            let data = &bytes[*offset..*offset + (range.end - range.start) as usize];
            match Kallsyms::find(data, range.start, low..high, text) {
                Ok(found) => {
                    kallsyms = Some(found);
                    break;
                }
                Err(error) => last = Some(error),
            }
        }
        let Some(kallsyms) = kallsyms else { return Err(last.unwrap_or_else(|| anyhow::anyhow!("no segments"))) };
        let layouts = match elf.section_by_name(".BTF") {
            Some(section) => btf::layouts(section.data().context(".BTF")?)?,
            None => Layouts::default(),
        };
        Ok(Self { segments, kallsyms, layouts, bytes })
    }

    /// The bytes at an address; None where the image holds none (zero-initialised memory, or outside).
    pub fn bytes(&self, address: u64, len: u64) -> Option<&[u8]> {
        let end = address.checked_add(len)?;
        let (range, offset) = self.segments.iter().find(|(range, _)| range.start <= address && end <= range.end)?;
        let from = offset + (address - range.start) as usize;
        self.bytes.get(from..from + len as usize)
    }

    /// The zero-terminated string at an address.
    pub fn string(&self, address: u64) -> Option<&[u8]> {
        let (range, offset) = self.segments.iter().find(|(range, _)| range.contains(&address))?;
        let rest = &self.bytes[offset + (address - range.start) as usize..offset + (range.end - range.start) as usize];
        Some(&rest[..rest.iter().position(|&b| b == 0)?])
    }
}
