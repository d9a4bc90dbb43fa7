// SPDX-License-Identifier: GPL-2.0-or-later
//! A piece of an object as assembly: a section and a range in, lines with the names of what they refer to out.

use super::strings::string_text;
use super::{Object, Reloc, SecId, SymKind};
use crate::arch::line::{beyond, Ask, Line};
use crate::arch::Field;
use std::ops::Range;

/// A piece of an object as assembly, references by name.
pub fn of_object(object: &Object, section: SecId, range: Range<u64>) -> Vec<Line> {
    let home = &object.sections[section];
    object.arch.disassemble(home.bytes(range.clone()), 0, &mut |ask| match ask {
        Ask::Field(field) => {
            let within = |r: &&Reloc| {
                let known = object.arch.field(r.kind).is_some_and(|f| f != Field::None);
                known && field.contains(&(r.offset - range.start))
            };
            home.relocs_in(range.clone()).iter().find(within).map(|r| named(object, section, range.clone(), r))
        }
        Ask::Address(_) => None,
    })
}

fn named(object: &Object, section: SecId, around: Range<u64>, r: &Reloc) -> String {
    let symbol = &object.symbols[r.symbol];
    let addend = r.addend.wrapping_add(object.arch.bias(&object.sections[section], around, r));
    let Some(home) = symbol.section().map(|id| &object.sections[id]) else {
        return beyond(&symbol.name, addend);
    };
    let place = symbol.value.wrapping_add_signed(addend);
    if home.is_strings() {
        let text: String = string_text(home, place).chars().take(60).collect();
        return format!("{text:?}");
    }
    match symbol.kind {
        SymKind::Section => beyond(&home.name, place as i64),
        _ => beyond(&symbol.name, addend),
    }
}
