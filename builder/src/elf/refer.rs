// SPDX-License-Identifier: GPL-2.0-or-later
//! References as assemblers write them for what is within one file: by way of sections.
//!
//! objtool up to 6.12 takes a jump to a function's symbol for one that leaves the function, wherever its addend leads,
//! and reads annotations by way of sections alone.

use super::{Bind, Object, Place, SecId, SymId, SymKind, Symbol};
use std::collections::HashMap;

/// Has all references to symbols that `object` defines count from their sections; but for sections that the linker
/// merges, where only the symbol tells which piece is meant. A part of a function (.cold) jumps back into the middle of
/// it, so global symbols are no exception.
pub fn by_section(object: &mut Object) {
    let mut new: HashMap<SecId, SymId> = HashMap::new();
    let mut symbols = std::mem::take(&mut object.symbols);
    let merged: Vec<bool> = object.sections.iter().map(|s| s.is_strings() || s.is_constants()).collect();
    for reloc in object.sections.iter_mut().flat_map(|s| &mut s.relocs) {
        let symbol = &symbols[reloc.symbol];
        let Place::In(section) = symbol.place else { continue };
        if symbol.kind == SymKind::Section || merged[section] {
            continue;
        }
        reloc.addend = reloc.addend.wrapping_add(symbol.value as i64);
        reloc.symbol = *new.entry(section).or_insert_with(|| {
            let (kind, bind, place) = (SymKind::Section, Bind::Local, Place::In(section));
            symbols.push(Symbol { kind, bind, place, ..Symbol::null() });
            symbols.len() - 1
        });
    }
    object.symbols = symbols;
    object.sort_symbols();
}

#[cfg(test)]
mod tests {
    use super::super::{Reloc, Section};
    use super::*;
    use crate::arch::x86_64::X86_64;

    #[test]
    fn symbols_become_sections_where_nothing_is_merged() {
        let text = |name: &str, flags: u32| Section { name: name.into(), flags: flags.into(), ..Section::default() };
        let symbol = |name: &str, bind, section, value| Symbol {
            name: name.into(),
            bind,
            place: Place::In(section),
            value,
            ..Symbol::null()
        };
        let reloc = |symbol| Reloc { offset: 0, kind: 2, symbol, addend: -4 };
        let strings = super::super::SHF_MERGE | super::super::SHF_STRINGS;
        let mut object = Object {
            arch: &X86_64,
            flags: 0,
            sections: vec![Section::default(), text(".text.f", 6), text(".rodata.str", strings)],
            symbols: vec![
                Symbol::null(),
                symbol("f", Bind::Local, 1, 16),
                symbol(".L", Bind::Local, 2, 3),
                symbol("g", Bind::Global, 1, 32),
                Symbol { name: "u".into(), bind: Bind::Global, ..Symbol::null() },
            ],
        };
        object.sections[1].relocs = [1, 2, 3, 4].map(reloc).to_vec();
        by_section(&mut object);
        let said: Vec<(String, SymKind, i64)> = object.sections[1]
            .relocs
            .iter()
            .map(|r| (object.symbols[r.symbol].name.clone(), object.symbols[r.symbol].kind, r.addend))
            .collect();
        let section = |addend| (String::new(), SymKind::Section, addend);
        let plain = |name: &str| (name.to_string(), SymKind::None, -4);
        assert_eq!(said, [section(12), plain(".L"), section(28), plain("u")]);
        let locals = object.symbols.iter().take_while(|s| s.is_local()).count();
        assert_eq!((locals, object.symbols.len()), (4, 6), "local symbols come first");
    }
}
