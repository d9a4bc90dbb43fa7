// SPDX-License-Identifier: GPL-2.0-or-later
//! The ELF side of a module: header, section table and the bytes of sections, all of it checked to lie within the
//! file, as the kernel's loader checks it (kernel/module/main.c, elf_validity_cache_copy).

use super::Fault;
use object::elf::{FileHeader64, SectionHeader64, ET_REL, SHN_UNDEF, SHT_NOBITS, SHT_NOTE, SHT_SYMTAB};
use object::read::elf::{FileHeader, SectionHeader};
use object::LittleEndian;

type Header = FileHeader64<LittleEndian>;

/// A relocatable file.
#[derive(Debug)]
pub struct File<'a> {
    /// `e_machine`.
    pub machine: u16,
    sections: Vec<Section<'a>>,
}

/// One section.
#[derive(Debug)]
pub struct Section<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// `sh_type`.
    pub kind: u32,
    /// Its bytes; empty where it has none in the file.
    pub data: &'a [u8],
}

impl Section<'_> {
    /// It holds notes.
    pub fn is_note(&self) -> bool {
        self.kind == SHT_NOTE
    }
}

impl<'a> File<'a> {
    /// Reads header and sections.
    ///
    /// # Errors
    /// No ELF file, none of 64 bits and little-endian, none that is relocatable; a table, section or name that does
    /// not lie within the file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        if !bytes.starts_with(&object::elf::ELFMAG) {
            let seen = if bytes.is_empty() { "the file is empty" } else { "it does not begin like an ELF file" };
            return Err(Fault::new("ELF header", seen));
        }
        let cut = |what: &str| Fault::new("ELF header", format!("{what} of {} bytes in all", bytes.len()));
        let header = Header::parse(bytes).map_err(|_| {
            if bytes.len() < size_of::<Header>() {
                cut("it is cut off: the file is")
            } else {
                Fault::new("ELF header", "it is not a 64-bit ELF file")
            }
        })?;
        let endian = LittleEndian;
        if header.e_ident.data != object::elf::ELFDATA2LSB {
            return Err(Fault::new("ELF header", "it is not little-endian"));
        }
        if header.e_type(endian) != ET_REL {
            return Err(Fault::new(
                "ELF header",
                "it is a program or a library, not a relocatable file as modules are",
            ));
        }
        let headers = header
            .section_headers(endian, bytes)
            .map_err(|_| cut("the section table lies beyond the end of the file, which is"))?;
        if headers.is_empty() {
            return Err(Fault::new("section table", "there are no sections"));
        }
        let names = header.section_strings_index(endian, bytes).ok().and_then(|at| headers.get(at.0));
        let names = names.and_then(|s| s.data(endian, bytes).ok());
        let names = names.ok_or_else(|| Fault::new("section table", "the names of sections are not in the file"))?;
        let sections = headers.iter().enumerate().map(|(at, s)| section(at, s, names, bytes, headers.len()));
        Ok(Self { machine: header.e_machine(endian), sections: sections.collect::<Result<_, _>>()? })
    }

    /// The bytes of the first section of that name.
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        self.sections.iter().find(|s| s.name == name.as_bytes()).map(|s| s.data)
    }

    /// All sections.
    pub fn sections(&self) -> impl Iterator<Item = &Section<'a>> {
        self.sections.iter()
    }
}

fn section<'a>(
    at: usize,
    header: &SectionHeader64<LittleEndian>,
    names: &'a [u8],
    bytes: &'a [u8],
    count: usize,
) -> Result<Section<'a>, Fault> {
    let endian = LittleEndian;
    let name = names.get(header.sh_name(endian) as usize..).and_then(|n| n.split(|&b| b == 0).next());
    let name = name.ok_or_else(|| Fault::new(format!("section {at}"), "its name is not in the file"))?;
    let called = || format!("section {at} ({})", String::from_utf8_lossy(name));
    let kind = header.sh_type(endian);
    if at == usize::from(SHN_UNDEF) || kind == SHT_NOBITS {
        return Ok(Section { name, kind, data: &[] });
    }
    let data = header.data(endian, bytes).map_err(|_| {
        let (from, size) = (header.sh_offset(endian), header.sh_size(endian));
        Fault::new(
            called(),
            format!("it should be {size} bytes at offset {from}, the file ends at {}: it is cut off", bytes.len()),
        )
    })?;
    if header.sh_link(endian) as usize >= count {
        return Err(Fault::new(called(), "it refers to a section that does not exist"));
    }
    if kind == SHT_SYMTAB && data.len() % size_of::<object::elf::Sym64<LittleEndian>>() != 0 {
        return Err(Fault::new(called(), "it does not consist of whole symbols"));
    }
    Ok(Section { name, kind, data })
}

/// Names and values of .modinfo: texts `name=value`, each ended by zero bytes. Others are passed over.
pub fn modinfo(data: &[u8]) -> Vec<(String, String)> {
    let texts = data.split(|&b| b == 0).map(String::from_utf8_lossy);
    texts.filter_map(|t| t.split_once('=').map(|(k, v)| (k.to_string(), v.to_string()))).collect()
}

/// The first text in a section of zero bytes: struct module, before relocations fill it, holds the name alone.
pub fn first_text(data: &[u8]) -> Option<String> {
    let from = data.iter().position(|&b| b != 0)?;
    let text = data[from..].split(|&b| b == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}
