// SPDX-License-Identifier: GPL-2.0-or-later
//! ELF relocatable files as this project thinks of them: sections with their relocations, symbols.
//! `read` makes an [`Object`] from bytes, `write` the reverse.

pub mod debug;
pub mod lines;
pub mod modinfo;
pub mod note;
pub mod read;
pub mod refer;
pub mod restore;
pub mod strings;
pub mod write;

use crate::arch::Arch;
pub use object::elf::{
    SHF_ALLOC, SHF_EXECINSTR, SHF_GROUP, SHF_INFO_LINK, SHF_LINK_ORDER, SHF_MERGE, SHF_STRINGS, SHF_WRITE, SHT_GROUP,
    SHT_NOBITS, SHT_NOTE, SHT_PROGBITS, SHT_RELA, SHT_STRTAB, SHT_SYMTAB,
};

/// `SHF_RELA_LIVEPATCH`: a relocation section that livepatch applies itself (include/uapi/linux/elf.h).
pub const SHF_RELA_LIVEPATCH: u64 = 0x0010_0000;
/// `SHN_LIVEPATCH`: a symbol that livepatch resolves itself (include/uapi/linux/elf.h).
pub const SHN_LIVEPATCH: u16 = 0xff20;

/// Index of a section in [`Object::sections`].
pub type SecId = usize;
/// Index of a symbol in [`Object::symbols`].
pub type SymId = usize;

/// A relocatable file. Symbol 0 is the null symbol, section 0 the null section, as in ELF.
#[derive(Clone, Debug)]
pub struct Object {
    /// The architecture.
    pub arch: &'static dyn Arch,
    /// `e_flags` (the ABI version on powerpc).
    pub flags: u32,
    /// Sections, in file order; the null section first.
    pub sections: Vec<Section>,
    /// Symbols, in file order; the null symbol first.
    pub symbols: Vec<Symbol>,
}

/// One section. Its relocation section is not a section of its own here: see `relocs`.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// `sh_addralign`.
    pub align: u64,
    /// `sh_entsize`; 0 where entries have no fixed size.
    pub entsize: u64,
    /// `sh_link`, as an index into the sections.
    pub link: u32,
    /// `sh_info`, raw.
    pub info: u32,
    /// Contents; empty for SHT_NOBITS and for sections that were not asked for.
    pub data: Vec<u8>,
    /// `sh_size` in bytes, also where there are no contents.
    pub size: u64,
    /// Relocations, sorted by offset.
    pub relocs: Vec<Reloc>,
}

/// One relocation (RELA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloc {
    /// Offset of the place in its section, bytes.
    pub offset: u64,
    /// The architecture's relocation type.
    pub kind: u32,
    /// The symbol.
    pub symbol: SymId,
    /// The addend.
    pub addend: i64,
}

/// What a symbol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymKind {
    /// STT_NOTYPE.
    None,
    /// STT_OBJECT.
    Data,
    /// STT_FUNC.
    Func,
    /// STT_SECTION.
    Section,
    /// STT_FILE.
    File,
    /// Any other type, raw.
    Other(u8),
}

/// STB_*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// STB_LOCAL.
    Local,
    /// STB_GLOBAL.
    Global,
    /// STB_WEAK.
    Weak,
}

/// Where a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not in this file.
    Undefined,
    /// In a section, at `value`.
    In(SecId),
    /// An absolute value (SHN_ABS), also of STT_FILE symbols.
    Absolute,
    /// SHN_COMMON.
    Common,
    /// SHN_LIVEPATCH.
    Livepatch,
}

/// One symbol.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// Its name; empty for section symbols.
    pub name: String,
    /// Its type.
    pub kind: SymKind,
    /// Its binding.
    pub bind: Bind,
    /// Where it is.
    pub place: Place,
    /// Offset in its section, bytes.
    pub value: u64,
    /// Bytes.
    pub size: u64,
    /// `st_other`: visibility, and the local entry on ppc64le.
    pub other: u8,
}

impl Symbol {
    /// The first entry of every symbol table.
    pub fn null() -> Self {
        let (kind, bind, place) = (SymKind::None, Bind::Local, Place::Undefined);
        Self { name: String::new(), kind, bind, place, value: 0, size: 0, other: 0 }
    }

    /// The section that it is defined in.
    pub fn section(&self) -> Option<SecId> {
        match self.place {
            Place::In(id) => Some(id),
            _ => None,
        }
    }

    /// Defined in no section of this file and no absolute value.
    pub fn is_undefined(&self) -> bool {
        self.place == Place::Undefined
    }

    /// Bound to this file alone.
    pub fn is_local(&self) -> bool {
        self.bind == Bind::Local
    }
}

impl Section {
    /// Holds machine code.
    pub fn is_text(&self) -> bool {
        self.flags & u64::from(SHF_EXECINSTR) != 0
    }

    /// Takes memory in the running kernel.
    pub fn is_alloc(&self) -> bool {
        self.flags & u64::from(SHF_ALLOC) != 0
    }

    /// May be written at run time.
    pub fn is_writable(&self) -> bool {
        self.flags & u64::from(SHF_WRITE) != 0
    }

    /// Holds zero-terminated strings that the linker may merge.
    pub fn is_strings(&self) -> bool {
        self.flags & u64::from(SHF_STRINGS) != 0 && self.flags & u64::from(SHF_MERGE) != 0
    }

    /// Bytes of a letter, where the section holds strings: 2 for those of `L"…"` with -fshort-wchar, which kernels use.
    pub fn string_unit(&self) -> usize {
        match self.entsize {
            2 | 4 => self.entsize as usize,
            _ => 1,
        }
    }

    /// Holds constants of `entsize` bytes that the linker may merge.
    pub fn is_constants(&self) -> bool {
        self.flags & u64::from(SHF_MERGE) != 0 && self.flags & u64::from(SHF_STRINGS) == 0 && self.entsize > 0
    }

    /// The relocations of `range`, bytes from the section's start.
    pub fn relocs_in(&self, range: std::ops::Range<u64>) -> &[Reloc] {
        let from = self.relocs.partition_point(|r| r.offset < range.start);
        let to = self.relocs.partition_point(|r| r.offset < range.end);
        &self.relocs[from.min(to)..to]
    }

    /// The bytes of `range`, cut off where the section ends (SHT_NOBITS: none).
    pub fn bytes(&self, range: std::ops::Range<u64>) -> &[u8] {
        let len = self.data.len() as u64;
        let (from, to) = (range.start.min(len) as usize, range.end.min(len) as usize);
        &self.data[from.min(to)..to]
    }
}

/// The bytes up to the first letter of `unit` bytes that is zero; all, where there is none.
pub fn zero_terminated(bytes: &[u8], unit: usize) -> &[u8] {
    let whole = bytes.len() / unit * unit;
    let end = bytes.chunks_exact(unit).position(|letter| letter.iter().all(|&b| b == 0));
    &bytes[..end.map_or(whole, |n| n * unit)]
}

impl Object {
    /// The name of a symbol as a person knows it: that of its section for section symbols.
    pub fn symbol_name(&self, id: SymId) -> &str {
        let symbol = &self.symbols[id];
        match (symbol.kind, symbol.section()) {
            (SymKind::Section, Some(section)) => &self.sections[section].name,
            _ => &symbol.name,
        }
    }

    /// The undefined global symbol of this name, added where there is none.
    pub fn undefined(&mut self, name: &str) -> SymId {
        if let Some(id) = self.symbols.iter().position(|s| s.is_undefined() && s.name == name) {
            return id;
        }
        let (kind, bind, place) = (SymKind::None, Bind::Global, Place::Undefined);
        self.symbols.push(Symbol { name: name.into(), kind, bind, place, value: 0, size: 0, other: 0 });
        self.symbols.len() - 1
    }

    /// The first section of this name.
    pub fn section_by_name(&self, name: &str) -> Option<SecId> {
        self.sections.iter().position(|s| s.name == name)
    }

    /// Puts local symbols before the others (ELF wants it) and renumbers the relocations.
    pub fn sort_symbols(&mut self) {
        let mut order: Vec<SymId> = (0..self.symbols.len()).collect();
        order.sort_by_key(|&id| (id != 0, !self.symbols[id].is_local(), id));
        let mut new_id = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            new_id[old] = new;
        }
        self.symbols = order.iter().map(|&old| self.symbols[old].clone()).collect();
        for reloc in self.sections.iter_mut().flat_map(|s| &mut s.relocs) {
            reloc.symbol = new_id[reloc.symbol];
        }
    }
}
