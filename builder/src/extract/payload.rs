// SPDX-License-Identifier: GPL-2.0-or-later
//! The object that the extracted code is put into: pieces in, a well-formed [`Object`] out.

use crate::elf::*;
use crate::special::Entry;
use std::collections::HashMap;
use std::ops::Range;

/// An object under construction. Symbol ids given out are those of the order of definition; `finish`
/// puts local symbols before the others, as ELF wants it.
pub struct Payload {
    object: Object,
    shared: HashMap<(String, Option<SecId>), SecId>,
    labels: usize,
}

impl Payload {
    /// An empty object of the same architecture.
    pub fn new(like: &Object) -> Self {
        let object = Object {
            arch: like.arch,
            flags: like.flags,
            sections: vec![Section::default()],
            symbols: vec![Symbol::null()],
        };
        Self { object, shared: HashMap::new(), labels: 0 }
    }

    /// Places a piece of `from`: in a section of its own, or with others in one of the same name.
    pub fn place(&mut self, from: &Section, range: Range<u64>, own_section: bool) -> (SecId, u64) {
        if own_section {
            let id = self.new_section(from);
            let offset = self.add(id, from, range);
            return (id, offset);
        }
        self.append(from, range, None)
    }

    /// Adds a piece of `from` to the section of its name (and, for SHF_LINK_ORDER, of its linked section).
    pub fn append(&mut self, from: &Section, range: Range<u64>, linked: Option<SecId>) -> (SecId, u64) {
        let key = (from.name.clone(), linked);
        let id = match self.shared.get(&key) {
            Some(&id) => id,
            None => {
                let id = self.new_section(from);
                if let Some(linked) = linked {
                    self.object.sections[id].flags |= u64::from(SHF_LINK_ORDER);
                    self.object.sections[id].link = linked as u32;
                }
                self.shared.insert(key, id);
                id
            }
        };
        let offset = self.add(id, from, range);
        (id, offset)
    }

    /// Adds an entry of a special section, a whole number of entries behind the start of its section.
    pub fn append_entry(&mut self, from: &Section, entry: &Entry, linked: Option<SecId>) -> (SecId, u64) {
        if entry.stride > 0 {
            if let Some(&id) = self.shared.get(&(from.name.clone(), linked)) {
                let section = &mut self.object.sections[id];
                section.size = section.size.next_multiple_of(entry.stride);
                if section.kind != SHT_NOBITS {
                    section.data.resize(section.size as usize, 0);
                }
            }
        }
        self.append(from, entry.range.clone(), linked)
    }

    fn new_section(&mut self, from: &Section) -> SecId {
        self.object.sections.push(Section {
            name: crate::special::name_in_live_patch(&from.name).into(),
            kind: from.kind,
            flags: from.flags & !u64::from(SHF_GROUP | SHF_LINK_ORDER),
            align: from.align,
            entsize: from.entsize,
            ..Section::default()
        });
        self.object.sections.len() - 1
    }

    fn add(&mut self, id: SecId, from: &Section, range: Range<u64>) -> u64 {
        let section = &mut self.object.sections[id];
        let align = from.align.max(1);
        // The same distance from an alignment boundary as in the section it comes from; entries of special
        // sections and strings are packed as the compiler packed them.
        let packed = from.is_strings() || crate::special::row_of(&from.name).is_some();
        while !packed && section.size % align != range.start % align {
            section.size += 1;
        }
        if section.kind != SHT_NOBITS {
            // Between functions are traps, never code that could be run by accident.
            let trap = if section.is_text() { self.object.arch.trap() } else { &[0] };
            let gap = section.data.len()..section.size as usize;
            section.data.extend(gap.map(|at| trap[at % trap.len()]));
            section.data.extend_from_slice(from.bytes(range.clone()));
        }
        let offset = section.size;
        section.size += range.end - range.start;
        offset
    }

    /// A local label for something without a name.
    pub fn label(&mut self, section: SecId, offset: u64) -> SymId {
        let name = format!(".Lkmend.{}", self.labels);
        self.labels += 1;
        self.define(Symbol {
            name,
            kind: SymKind::None,
            bind: Bind::Local,
            place: Place::In(section),
            value: offset,
            size: 0,
            other: 0,
        })
    }

    /// Adds a symbol.
    pub fn define(&mut self, symbol: Symbol) -> SymId {
        self.object.symbols.push(symbol);
        self.object.symbols.len() - 1
    }

    /// The undefined global symbol of this name, added where there is none.
    pub fn undefined(&mut self, name: &str) -> SymId {
        self.object.undefined(name)
    }

    /// A second, global name for a symbol.
    pub fn alias(&mut self, of: SymId, name: &str) {
        let mut symbol = self.object.symbols[of].clone();
        symbol.name = name.into();
        symbol.bind = Bind::Global;
        self.define(symbol);
    }

    /// The section that a symbol is in.
    pub fn section_of(&self, symbol: SymId) -> Option<SecId> {
        self.object.symbols[symbol].section()
    }

    /// Adds a relocation. The bytes of its field are zero from then on: of a call to a function of the same section the assembler
    /// has filled them in, and loaders refuse relocations of fields that are not zero.
    pub fn relocate(&mut self, section: SecId, reloc: Reloc) {
        let section = &mut self.object.sections[section];
        if let (Some(field), Some(code)) =
            (self.object.arch.field(reloc.kind), section.data.get_mut(reloc.offset as usize..))
        {
            field.blank(code);
        }
        section.relocs.push(reloc);
    }

    /// The finished object: relocations sorted, local symbols first.
    pub fn finish(self) -> Object {
        let mut object = self.object;
        object.sort_symbols();
        for section in &mut object.sections {
            section.relocs.sort_by_key(|r| r.offset);
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `.sched.text` of two functions: the assembler resolves a call from one to the other.
    #[test]
    fn fields_of_relocations_are_zero() {
        for (arch, code, zeroed) in [
            (
                crate::arch::by_name("x86_64").unwrap(),
                [0xe8, 1, 2, 3, 4, 0xc3, 0xc3, 0xc3],
                [0xe8, 0, 0, 0, 0, 0xc3, 0xc3, 0xc3],
            ),
            (crate::arch::by_name("ppc64le").unwrap(), [9, 2, 3, 0x48, 5, 6, 7, 8], [1, 0, 0, 0x48, 5, 6, 7, 8]),
        ] {
            let like = Object { arch, flags: 0, sections: Vec::new(), symbols: Vec::new() };
            let flags = u64::from(SHF_ALLOC | SHF_EXECINSTR);
            let text = Section {
                name: ".sched.text".into(),
                flags,
                size: 8,
                align: 8,
                data: code.into(),
                ..Section::default()
            };
            let mut payload = Payload::new(&like);
            let (home, at) = payload.place(&text, 0..8, false);
            let to = payload.undefined("other");
            let offset = at + u64::from(arch.name() == "x86_64");
            payload.relocate(home, Reloc { offset, kind: arch.call_reloc(), symbol: to, addend: 0 });
            assert_eq!(payload.finish().sections[home].data, zeroed, "{}", arch.name());
        }
    }
}
