// SPDX-License-Identifier: GPL-2.0-or-later
//! [`Object`] → bytes of a relocatable ELF file. Deterministic: the same object gives the same bytes.

use super::*;
use anyhow::{ensure, Context, Result};
use object::elf;
use object::write::elf::{FileHeader, Rel, SectionHeader, Sym, Writer};
use object::Endianness;

/// Writes the object. Sections keep their order; relocation sections, the symbol table and the string
/// tables are made anew and are at the end. Local symbols must be before the others.
///
/// # Errors
/// A symbol or relocation that points to a section or symbol that does not exist, or a global before a local.
pub fn write(object: &Object) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    let mut w = Writer::new(Endianness::Little, true, &mut buffer);

    // Which sections of the model are in the file, and under which index.
    let kept: Vec<SecId> = (1..object.sections.len()).filter(|&id| !is_derived(&object.sections[id])).collect();
    let mut index = vec![0u32; object.sections.len()];
    w.reserve_null_section_index();
    let mut names = vec![None; object.sections.len()];
    for &id in &kept {
        names[id] = Some(w.add_section_name(object.sections[id].name.as_bytes()));
        index[id] = w.reserve_section_index().0;
    }
    let rela_names: Vec<String> = object.sections.iter().map(|s| format!(".rela{}", s.name)).collect();
    let with_relocs: Vec<SecId> = kept
        .iter()
        .copied()
        .filter(|&id| !object.sections[id].relocs.is_empty() && object.sections[id].kind != SHT_RELA)
        .collect();
    let mut rela_ids = Vec::new();
    for &id in &with_relocs {
        rela_ids.push((id, w.add_section_name(rela_names[id].as_bytes()), w.reserve_section_index()));
    }
    w.reserve_symtab_section_index();
    w.reserve_strtab_section_index();
    w.reserve_shstrtab_section_index();
    if object.sections.len() + rela_ids.len() + 4 >= elf::SHN_LORESERVE as usize {
        w.reserve_symtab_shndx_section_index();
    }

    w.reserve_null_symbol_index();
    let mut locals = 1;
    let mut seen_global = false;
    let mut symbol_names = Vec::with_capacity(object.symbols.len());
    for (id, symbol) in object.symbols.iter().enumerate().skip(1) {
        if symbol.is_local() {
            ensure!(!seen_global, "symbol {} is local but comes after a global one", symbol.name);
            locals = id as u32 + 1;
        } else {
            seen_global = true;
        }
        let section = match symbol.place {
            Place::In(home) => {
                ensure!(index.get(home).is_some_and(|&i| i != 0), "symbol {}: its section is not written", symbol.name);
                Some(object::write::elf::SectionIndex(index[home]))
            }
            _ => None,
        };
        symbol_names.push((!symbol.name.is_empty()).then(|| w.add_string(symbol.name.as_bytes())));
        w.reserve_symbol_index(section);
    }

    w.reserve_file_header();
    let mut offsets = vec![0usize; object.sections.len()];
    for &id in &kept {
        let s = &object.sections[id];
        offsets[id] = match s.kind {
            SHT_NOBITS => 0,
            SHT_RELA => w.reserve_relocations(s.relocs.len(), true),
            _ => w.reserve(s.data.len(), s.align.max(1) as usize),
        };
    }
    let rela_offsets: Vec<usize> =
        rela_ids.iter().map(|(id, _, _)| w.reserve_relocations(object.sections[*id].relocs.len(), true)).collect();
    w.reserve_symtab();
    w.reserve_symtab_shndx();
    w.reserve_strtab();
    w.reserve_shstrtab();
    w.reserve_section_headers();

    w.write_file_header(&FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_REL,
        e_machine: object.arch.machine(),
        e_entry: 0,
        e_flags: object.flags,
    })?;
    for &id in &kept {
        let s = &object.sections[id];
        match s.kind {
            SHT_NOBITS => {}
            SHT_RELA => write_relocs(&mut w, &s.relocs, object)?,
            _ => {
                w.write_align(s.align.max(1) as usize);
                w.write(&s.data);
            }
        }
    }
    for (id, _, _) in &rela_ids {
        write_relocs(&mut w, &object.sections[*id].relocs, object)?;
    }
    w.write_null_symbol();
    for (symbol, name) in object.symbols.iter().skip(1).zip(&symbol_names) {
        let (section, st_shndx) = match symbol.place {
            Place::In(home) => (Some(object::write::elf::SectionIndex(index[home])), 0),
            Place::Undefined => (None, elf::SHN_UNDEF),
            Place::Absolute => (None, elf::SHN_ABS),
            Place::Common => (None, elf::SHN_COMMON),
            Place::Livepatch => (None, SHN_LIVEPATCH),
        };
        w.write_symbol(&Sym {
            name: *name,
            section,
            st_info: (bind_raw(symbol.bind) << 4) | kind_raw(symbol.kind),
            st_other: symbol.other,
            st_shndx,
            st_value: symbol.value,
            st_size: symbol.size,
        });
    }
    w.write_symtab_shndx();
    w.write_strtab();
    w.write_shstrtab();

    w.write_null_section_header();
    let symtab = w.symtab_index().0;
    for &id in &kept {
        let s = &object.sections[id];
        let map = |i: u32| index.get(i as usize).copied().unwrap_or(0);
        let is_klp = s.kind == SHT_RELA;
        let link = match () {
            () if is_klp || s.kind == SHT_GROUP => symtab,
            () if s.flags & u64::from(SHF_LINK_ORDER) != 0 => map(s.link),
            () => 0,
        };
        w.write_section_header(&SectionHeader {
            name: names[id],
            sh_type: s.kind,
            sh_flags: s.flags,
            sh_addr: 0,
            sh_offset: offsets[id] as u64,
            sh_size: if is_klp { s.relocs.len() as u64 * 24 } else { s.size },
            sh_link: link,
            sh_info: if is_klp || s.flags & u64::from(SHF_INFO_LINK) != 0 { map(s.info) } else { s.info },
            sh_addralign: if is_klp { 8 } else { s.align },
            sh_entsize: if is_klp { 24 } else { s.entsize },
        });
    }
    for ((id, name, _), offset) in rela_ids.iter().zip(&rela_offsets) {
        w.write_relocation_section_header(
            *name,
            object::write::elf::SectionIndex(index[*id]),
            object::write::elf::SectionIndex(symtab),
            *offset,
            object.sections[*id].relocs.len(),
            true,
        );
    }
    w.write_symtab_section_header(locals);
    w.write_symtab_shndx_section_header();
    w.write_strtab_section_header();
    w.write_shstrtab_section_header();
    Ok(buffer)
}

fn is_derived(s: &Section) -> bool {
    matches!(s.kind, elf::SHT_NULL | elf::SHT_SYMTAB | elf::SHT_SYMTAB_SHNDX | elf::SHT_STRTAB)
        || (s.kind == SHT_RELA && s.flags & SHF_RELA_LIVEPATCH == 0)
}

fn write_relocs(w: &mut Writer<'_>, relocs: &[Reloc], object: &Object) -> Result<()> {
    w.write_align_relocation();
    for r in relocs {
        object
            .symbols
            .get(r.symbol)
            .with_context(|| format!("a relocation names symbol {}, which does not exist", r.symbol))?;
        w.write_relocation(
            true,
            &Rel { r_offset: r.offset, r_sym: r.symbol as u32, r_type: r.kind, r_addend: r.addend },
        );
    }
    Ok(())
}

fn bind_raw(bind: Bind) -> u8 {
    match bind {
        Bind::Local => elf::STB_LOCAL,
        Bind::Global => elf::STB_GLOBAL,
        Bind::Weak => elf::STB_WEAK,
    }
}

fn kind_raw(kind: SymKind) -> u8 {
    match kind {
        SymKind::None => elf::STT_NOTYPE,
        SymKind::Data => elf::STT_OBJECT,
        SymKind::Func => elf::STT_FUNC,
        SymKind::Section => elf::STT_SECTION,
        SymKind::File => elf::STT_FILE,
        SymKind::Other(raw) => raw,
    }
}
