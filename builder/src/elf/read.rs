// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes → [`Object`]. Every index and offset is checked: a malformed file gives an error that
//! names the place, never a panic.

use super::*;
use anyhow::{bail, ensure, Context, Result};
use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::LittleEndian as LE;

/// Which section contents to take along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// All but `.debug_*`: what the diff engine and the linker stages need.
    NoDebug,
    /// Everything.
    All,
}

/// No section of a kernel object is larger, bytes; sums of offsets and sizes cannot overflow below it.
const LARGEST: u64 = 1 << 40;
/// The largest alignment that is believed; the kernel's page tables want 2 MiB at most.
const MOST_ALIGNED: u64 = 1 << 24;

/// What a file may still make us hold, so that little input cannot take much memory by naming the same
/// bytes again and again. Sections do not overlap; symbols share names, but mostly short ones.
struct Budget {
    contents: u64,
    names: usize,
}

impl Budget {
    fn spend_contents(&mut self, len: usize) -> Result<()> {
        let left = self.contents.checked_sub(len as u64).context("it overlaps with other sections")?;
        self.contents = left;
        Ok(())
    }

    fn spend_name(&mut self, name: &str) -> Result<()> {
        let left = self.names.checked_sub(name.len()).context("the names take many times the size of the file")?;
        self.names = left;
        Ok(())
    }
}

/// Reads a relocatable ELF file of a known architecture.
///
/// # Errors
/// Not ELF, not 64-bit little-endian, not relocatable, an unknown architecture, or any table, offset or
/// index that points outside of the file.
pub fn read(bytes: &[u8], take: Take) -> Result<Object> {
    ensure!(
        !bytes.starts_with(b"!<arch>\n") && !bytes.starts_with(b"!<thin>\n"),
        "an archive of objects: extract the object from it (`ar x`) and give that"
    );
    ensure!(bytes.starts_with(b"\x7fELF"), "not an ELF file");
    ensure!(bytes.len() >= 64, "truncated: {} bytes are less than an ELF header", bytes.len());
    ensure!(bytes[4] == elf::ELFCLASS64, "a 32-bit ELF file; kmend knows 64-bit kernels only");
    ensure!(bytes[5] == elf::ELFDATA2LSB, "a big-endian ELF file; kmend knows x86_64 and ppc64le (little-endian) only");
    let header = FileHeader64::<LE>::parse(bytes).context("malformed ELF header")?;
    let kind = header.e_type(LE);
    ensure!(
        kind == elf::ET_REL,
        "not a relocatable object (ELF type {kind}, expected {}): give a .o or .ko file",
        elf::ET_REL
    );
    let arch = crate::arch::by_machine(header.e_machine(LE), header.e_flags(LE))?;
    let table = header.sections(LE, bytes).context("malformed section table (is the file truncated?)")?;

    let mut sections = Vec::with_capacity(table.len());
    let mut rela = Vec::new();
    let mut symtab = None;
    let mut shndx_table = None;
    let mut budget = Budget { contents: bytes.len() as u64, names: 8 * bytes.len() };
    for (id, sh) in table.iter().enumerate() {
        let name = if id == 0 {
            String::new()
        } else {
            let raw = table
                .section_name(LE, sh)
                .with_context(|| format!("section {id}: name outside of the string table"))?;
            String::from_utf8(raw.to_vec()).map_err(|_| anyhow::anyhow!("section {id}: its name is not UTF-8"))?
        };
        budget.spend_name(&name)?;
        arch.check_section(&name)?;
        ensure!(sh.sh_size(LE) <= LARGEST, "section {name}: {} bytes are more than any kernel has", sh.sh_size(LE));
        match sh.sh_type(LE) {
            elf::SHT_RELA => rela.push((id, sh)),
            elf::SHT_REL => bail!("section {name}: REL relocations; kernel objects of x86_64 and ppc64le have RELA"),
            elf::SHT_SYMTAB => {
                ensure!(symtab.is_none(), "section {name}: a second symbol table");
                symtab = Some((id, sh));
            }
            elf::SHT_SYMTAB_SHNDX => shndx_table = Some(sh),
            _ => {}
        }
        let skip = take == Take::NoDebug && name.starts_with(".debug_");
        let data = if skip || sh.sh_type(LE) == elf::SHT_NOBITS {
            Vec::new()
        } else {
            let data = sh
                .data(LE, bytes)
                .with_context(|| format!("section {name}: contents outside of the file (truncated?)"))?;
            budget.spend_contents(data.len()).with_context(|| format!("section {name}"))?;
            data.to_vec()
        };
        let align = sh.sh_addralign(LE);
        ensure!(
            align <= MOST_ALIGNED && (align == 0 || align.is_power_of_two()),
            "section {name}: alignment {align} is no power of two up to {MOST_ALIGNED}"
        );
        sections.push(Section {
            name,
            kind: sh.sh_type(LE),
            flags: sh.sh_flags(LE),
            align,
            entsize: sh.sh_entsize(LE),
            link: sh.sh_link(LE),
            info: sh.sh_info(LE),
            size: sh.sh_size(LE),
            data,
            relocs: Vec::new(),
        });
    }

    let symbols = match symtab {
        Some((id, sh)) => read_symbols(bytes, &table, sh, shndx_table, &sections, &mut budget)
            .with_context(|| format!("symbol table (section {id})"))?,
        None => bail!("no symbol table: was it stripped entirely? (strip --strip-debug keeps what is needed)"),
    };
    for (id, sh) in rela {
        let target = sh.sh_info(LE) as usize;
        let name = sections[id].name.clone();
        ensure!(
            target != 0 && target < sections.len(),
            "section {name}: it relocates section {target}, which does not exist"
        );
        // Livepatch relocations are kept apart: two sections may relocate one place.
        if sh.sh_flags(LE) & SHF_RELA_LIVEPATCH != 0 || (take == Take::NoDebug && name.starts_with(".rela.debug_")) {
            if sh.sh_flags(LE) & SHF_RELA_LIVEPATCH != 0 {
                sections[id].relocs = read_relocs(bytes, sh, sections[target].size, symbols.len())
                    .with_context(|| format!("section {name}"))?;
            }
            continue;
        }
        ensure!(
            sections[target].relocs.is_empty(),
            "section {name}: a second relocation section for {}",
            sections[target].name
        );
        let relocs =
            read_relocs(bytes, sh, sections[target].size, symbols.len()).with_context(|| format!("section {name}"))?;
        sections[target].relocs = relocs;
    }
    // The tables are derived from the model again when it is written.
    for section in &mut sections {
        let derived = section.kind == SHT_SYMTAB
            || section.kind == elf::SHT_SYMTAB_SHNDX
            || (section.kind == SHT_RELA && section.flags & SHF_RELA_LIVEPATCH == 0);
        if derived || section.kind == SHT_RELA {
            section.data = Vec::new();
        }
    }
    Ok(Object { arch, flags: header.e_flags(LE), sections, symbols })
}

fn read_symbols(
    bytes: &[u8],
    table: &object::read::elf::SectionTable<'_, FileHeader64<LE>>,
    sh: &SectionHeader64<LE>,
    shndx: Option<&SectionHeader64<LE>>,
    sections: &[Section],
    budget: &mut Budget,
) -> Result<Vec<Symbol>> {
    let raw: &[Sym64<LE>] = sh.data_as_array(LE, bytes).context("outside of the file")?;
    let strings = table.strings(LE, bytes, object::SectionIndex(sh.sh_link(LE) as usize)).context("no string table")?;
    let extended: &[object::U32Bytes<LE>] = match shndx {
        Some(sh) => sh.data_as_array(LE, bytes).context("extended section indices outside of the file")?,
        None => &[],
    };
    let mut symbols = Vec::with_capacity(raw.len().max(1));
    for (id, sym) in raw.iter().enumerate() {
        let name = sym.name(LE, strings).with_context(|| format!("symbol {id}: name outside of the string table"))?;
        let name =
            String::from_utf8(name.to_vec()).map_err(|_| anyhow::anyhow!("symbol {id}: its name is not UTF-8"))?;
        budget.spend_name(&name).with_context(|| format!("symbol {id}"))?;
        let place = match sym.st_shndx(LE) {
            elf::SHN_UNDEF => Place::Undefined,
            elf::SHN_ABS => Place::Absolute,
            elf::SHN_COMMON => Place::Common,
            SHN_LIVEPATCH => Place::Livepatch,
            elf::SHN_XINDEX => {
                let index =
                    extended.get(id).with_context(|| format!("symbol {name}: no extended section index"))?.get(LE);
                ensure!(index != 0, "symbol {name}: its section 0 does not exist");
                Place::In(index as usize)
            }
            index if index < elf::SHN_LORESERVE => Place::In(index.into()),
            index => bail!("symbol {name}: reserved section index {index:#x}"),
        };
        let kind = match sym.st_type() {
            elf::STT_NOTYPE => SymKind::None,
            elf::STT_OBJECT => SymKind::Data,
            elf::STT_FUNC => SymKind::Func,
            elf::STT_SECTION => SymKind::Section,
            elf::STT_FILE => SymKind::File,
            other => SymKind::Other(other),
        };
        let bind = match sym.st_bind() {
            elf::STB_LOCAL => Bind::Local,
            elf::STB_GLOBAL => Bind::Global,
            elf::STB_WEAK => Bind::Weak,
            other => bail!("symbol {name}: unknown binding {other}"),
        };
        let (value, size) = (sym.st_value(LE), sym.st_size(LE));
        if let Place::In(section) = place {
            let home = sections
                .get(section)
                .with_context(|| format!("symbol {name}: its section {section} does not exist"))?;
            let end = value.checked_add(size);
            ensure!(
                end.is_some_and(|e| e <= home.size),
                "symbol {name}: {value:#x}+{size:#x} lies outside of section {}",
                home.name
            );
        }
        symbols.push(Symbol { name, kind, bind, place, value, size, other: sym.st_other() });
    }
    ensure!(!symbols.is_empty(), "it is empty");
    Ok(symbols)
}

fn read_relocs(bytes: &[u8], sh: &SectionHeader64<LE>, target_size: u64, symbols: usize) -> Result<Vec<Reloc>> {
    let raw: &[elf::Rela64<LE>] = sh.data_as_array(LE, bytes).context("relocations outside of the file")?;
    let mut relocs = Vec::with_capacity(raw.len());
    for (i, r) in raw.iter().enumerate() {
        let offset = r.r_offset.get(LE);
        let symbol = r.r_sym(LE, false) as usize;
        ensure!(
            offset < target_size,
            "relocation {i}: offset {offset:#x} is outside of its section ({target_size:#x} bytes)"
        );
        ensure!(symbol < symbols, "relocation {i}: symbol {symbol} does not exist");
        relocs.push(Reloc { offset, kind: r.r_type(LE, false), symbol, addend: r.r_addend.get(LE) });
    }
    relocs.sort_by_key(|r| r.offset);
    Ok(relocs)
}
