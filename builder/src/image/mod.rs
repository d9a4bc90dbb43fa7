// SPDX-License-Identifier: GPL-2.0-or-later
//! The shipped kernel: image, symbols, types, modules.

pub mod btf;
pub mod indirect;
pub mod kallsyms;
pub mod lines;
mod linked;
mod lz4;
pub mod module;
pub mod pointers;
pub mod shipped;
mod storage;
pub mod symvers;
pub mod vmlinuz;

use crate::arch::{self, Arch};
use crate::elf::zero_terminated;
use crate::files;
use crate::special::layout::Layouts;
use anyhow::{bail, ensure, Context, Result};
use kallsyms::Kallsyms;
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{LittleEndian, Object as _, ObjectSection as _};
use pointers::Pointers;
use std::ops::Range;
use std::path::Path;

/// A kernel image has up to five.
const MOST_SEGMENTS: usize = 32;

/// A kernel image as linked, with the symbols that the running kernel has.
pub struct Image {
    bytes: Vec<u8>,
    segments: Vec<Segment>,
    /// Its architecture.
    pub arch: &'static dyn Arch,
    /// Where pointers are, in an image that moves itself at boot.
    pub pointers: Pointers,
    /// What code keeps in the register through which it reaches its data, where it has one.
    pub data_base: Option<u64>,
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
        Self::with_symbols(bytes, None)
    }

    /// The same; `symbols` where the image itself holds none (in tests).
    pub(crate) fn with_symbols(mut bytes: Vec<u8>, symbols: Option<Kallsyms>) -> Result<Self> {
        let elf = ElfFile64::<LittleEndian>::parse(bytes.as_slice()).context("not a 64-bit little-endian ELF image")?;
        let header = elf.elf_header();
        let arch = arch::by_machine(header.e_machine(LittleEndian), header.e_flags(LittleEndian))?;
        let segments = segments(&elf, bytes.len() as u64)?;
        let sections = header.section_headers(LittleEndian, bytes.as_slice()).context("malformed section headers")?;
        let pointers = Pointers::read(&bytes, sections, arch)?;
        let kallsyms = match symbols {
            Some(symbols) => symbols,
            None => find_kallsyms(&elf, &bytes, &segments)?,
        };
        let layouts = match elf.section_by_name(".BTF") {
            Some(section) => btf::layouts(section.data().context(".BTF")?)?,
            None => Layouts::default(),
        };
        for (place, value) in pointers.values() {
            let at = file_offset(&segments, place, 8)
                .with_context(|| format!("a dynamic relocation for {place:#x}, where the image has nothing"))?;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let mut image = Self { segments, arch, pointers, data_base: None, kallsyms, layouts, bytes };
        image.data_base = image.find_data_base()?;
        Ok(image)
    }

    /// Functions say themselves where they take their data from; all must say the same.
    fn find_data_base(&self) -> Result<Option<u64>> {
        let mut found: Option<(u64, &str)> = None;
        for symbol in self.kallsyms.symbols().iter().filter(|s| s.is_code()) {
            let code = self.bytes(symbol.address, 8).unwrap_or_default();
            let Some(base) = self.arch.data_base(code, symbol.address) else { continue };
            match found {
                None => found = Some((base, &symbol.name)),
                Some((before, _)) if before == base => {}
                Some((before, name)) => bail!(
                    "{name} finds its data from {before:#x} and {} from {base:#x}; kmend knows images with one such place only",
                    symbol.name
                ),
            }
        }
        Ok(found.map(|(base, _)| base))
    }

    /// The file.
    pub fn all_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True for code that the kernel keeps. The letters of kallsyms do not say it: in some images data have that of
    /// code (`jiffies` in 7.2 of Debian).
    pub fn is_code_at(&self, address: u64) -> bool {
        let at = |name: &str| self.kallsyms.named(name).next().map(|s| s.address);
        match (at("_stext"), at("_etext")) {
            (Some(start), Some(end)) => (start..end).contains(&address),
            _ => self.kallsyms.symbols().iter().any(|s| s.address == address && s.is_code()),
        }
    }

    /// Its GNU build id, hexadecimal.
    ///
    /// # Errors
    /// It has none.
    pub fn build_id(&self) -> Result<String> {
        vmlinuz::build_id(self.bytes.as_slice())
    }

    /// What the vermagic of a module has to be (include/linux/vermagic.h); None where the image does not say.
    pub fn vermagic(&self, release: &str) -> Option<String> {
        let mut named = self.kallsyms.named("vermagic").filter(|s| !s.is_code());
        if let (Some(symbol), None) = (named.next(), named.next()) {
            let text = self.string(symbol.address, 1).map(|t| String::from_utf8_lossy(t).into_owned());
            return text.filter(|t| t.split(' ').next() == Some(release));
        }
        // Without data in kallsyms by its form: the banner, the other text that holds the release, has a word before it.
        let start = format!("{release} ");
        let mut found = memchr::memmem::find_iter(&self.bytes, start.as_bytes()).filter_map(|at| {
            let end = at + self.bytes[at..].iter().take(256).position(|&b| b == 0)?;
            let is_first = at
                .checked_sub(1)
                .is_none_or(|before| !self.bytes[before].is_ascii_graphic() && self.bytes[before] != b' ');
            let text = std::str::from_utf8(&self.bytes[at..end]).ok()?;
            (is_first && text.ends_with(' ')).then(|| text.to_string())
        });
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// The bytes at an address; None where the image holds none (zero-initialised memory, or outside).
    pub fn bytes(&self, address: u64, len: u64) -> Option<&[u8]> {
        let from = file_offset(&self.segments, address, len)?;
        self.bytes.get(from..from + len as usize)
    }

    /// The string at an address, of letters of `unit` bytes, up to the zero that ends it.
    pub fn string(&self, address: u64, unit: usize) -> Option<&[u8]> {
        let (range, offset) = self.segments.iter().find(|(range, _)| range.contains(&address))?;
        let rest = &self.bytes[offset + (address - range.start) as usize..offset + (range.end - range.start) as usize];
        let string = zero_terminated(rest, unit);
        (rest.len() >= string.len() + unit).then_some(string)
    }
}

/// A loaded piece: its addresses, and where in the file it begins.
type Segment = (Range<u64>, usize);

fn segments(elf: &ElfFile64<'_, LittleEndian>, file: u64) -> Result<Vec<Segment>> {
    let mut segments: Vec<Segment> = Vec::new();
    for header in elf.elf_program_headers() {
        if header.p_type.get(LittleEndian) != object::elf::PT_LOAD {
            continue;
        }
        let (start, size, offset) =
            (header.p_vaddr.get(LittleEndian), header.p_filesz.get(LittleEndian), header.p_offset.get(LittleEndian));
        ensure!(segments.len() < MOST_SEGMENTS, "more than {MOST_SEGMENTS} segments: this is no kernel image");
        let end = start.checked_add(size).context("a segment wraps around")?;
        let inside = offset.checked_add(size).is_some_and(|e| e <= file);
        ensure!(inside, "a segment lies outside of the file: is it truncated?");
        segments.push((start..end, offset as usize));
    }
    Ok(segments)
}

fn find_kallsyms(elf: &ElfFile64<'_, LittleEndian>, bytes: &[u8], segments: &[Segment]) -> Result<Kallsyms> {
    let memory: Vec<Range<u64>> = elf
        .elf_program_headers()
        .iter()
        .filter(|h| h.p_type.get(LittleEndian) == object::elf::PT_LOAD)
        .map(|h| h.p_vaddr.get(LittleEndian)..h.p_vaddr.get(LittleEndian).saturating_add(h.p_memsz.get(LittleEndian)))
        .collect();
    let (Some(low), Some(high)) = (memory.iter().map(|m| m.start).min(), memory.iter().map(|m| m.end).max()) else {
        bail!("an ELF file without loadable segments is no kernel image");
    };
    // `_text` is where code begins; on some architectures that is a section of its own.
    let first = elf.section_by_name(".head.text").or_else(|| elf.section_by_name(".text"));
    let text = first.map(|s| s.address()).unwrap_or(low);
    let mut first = None;
    for (range, offset) in segments {
        let data = &bytes[*offset..*offset + (range.end - range.start) as usize];
        match Kallsyms::find(data, range.start, low..high, text) {
            Ok(found) => return Ok(found),
            Err(error) => _ = first.get_or_insert(error),
        }
    }
    Err(first.unwrap_or_else(|| anyhow::anyhow!("no segments")))
}

/// Where in the file `len` bytes of memory are.
fn file_offset(segments: &[Segment], address: u64, len: u64) -> Option<usize> {
    let end = address.checked_add(len)?;
    let (range, offset) = segments.iter().find(|(range, _)| range.start <= address && end <= range.end)?;
    Some(offset + (address - range.start) as usize)
}
