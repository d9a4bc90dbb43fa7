// SPDX-License-Identifier: GPL-2.0-or-later
//! An object's code as assembly: an item in, lines with the names of what it refers to out.

use crate::arch::line::{beyond, Ask, Line};
use crate::diff::compare::describe;
use crate::diff::view::{ItemId, Ref, View};
use crate::elf::Reloc;

/// The lines of an item of an object, from its entry on, counted from there. References go by the names of what
/// they refer to, strings by their text.
pub fn of_item(view: &View<'_>, item: ItemId) -> Vec<Line> {
    let it = &view.items[item];
    let code = view.section(item).bytes(it.anchor..it.range.end);
    let references = view.references(item);
    view.object.arch.disassemble(code, 0, &mut |ask| match ask {
        Ask::Field(field) => {
            let within = |r: &Reloc| r.offset.checked_sub(it.anchor).is_some_and(|at| field.contains(&at));
            let (reloc, to) = references.iter().find(|(r, _)| within(r))?;
            Some(named(view, item, reloc, *to)).filter(|name| !name.is_empty())
        }
        Ask::Address(_) => None,
    })
}

fn named(view: &View<'_>, item: ItemId, reloc: &Reloc, to: Ref) -> String {
    let it = &view.items[item];
    let at_end = || {
        let all = view.object.arch.biases(view.section(item), it.range.clone());
        all.iter().find(|(offset, _)| *offset == reloc.offset).map_or(0, |(_, bias)| *bias)
    };
    let end = view.through_toc(to);
    let name = short(&describe(view, &end));
    match end {
        _ if end != to => name,
        Ref::External { addend, .. } | Ref::Item { addend, .. } | Ref::String { addend, .. } => {
            beyond(&name, addend.wrapping_add(at_end()))
        }
        Ref::Special { .. } | Ref::Nowhere { .. } => name,
    }
}

/// Long strings are cut off so that lines stay readable.
fn short(name: &str) -> String {
    const LONGEST: usize = 60;
    match name.char_indices().nth(LONGEST) {
        Some((at, _)) if name.starts_with('"') => format!("{}…\"", &name[..at]),
        _ => name.into(),
    }
}
