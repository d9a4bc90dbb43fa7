// SPDX-License-Identifier: GPL-2.0-or-later
//! The `.static_call_sites` of a payload whose object has none yet: compilers leave calls to `__SCT__NAME`,
//! and objtool lists them when an object is linked. In a live patch it could not: it would not find the key
//! of a static call that the kernel does not export (include/linux/static_call_types.h,
//! tools/objtool/check.c, create_static_call_sections).

use super::{External, Origin};
use crate::elf::*;
use crate::section_table::STATIC_CALL_SITES;

/// A static call that is made by a jump (STATIC_CALL_SITE_TAIL).
const TAIL: i64 = 1;

/// Adds an entry for each static call; `size` is that of struct static_call_site, two 32-bit fields.
/// Returns the keys, which the payload refers to from now on.
pub fn add(object: &mut Object, size: u64) -> Vec<External> {
    if size != 8 || object.section_by_name(STATIC_CALL_SITES).is_some() {
        return Vec::new();
    }
    let mut sites = Vec::new();
    for (id, section) in object.sections.iter().enumerate().filter(|(_, s)| s.is_text()) {
        for r in &section.relocs {
            let Some(call) = object.symbols[r.symbol].name.strip_prefix("__SCT__") else { continue };
            // A pointer to the trampoline is no call.
            let Some((start, call_returns)) = object.arch.branch_at(section, r) else { continue };
            sites.push((id, start, format!("__SCK__{call}"), if call_returns { 0 } else { TAIL }));
        }
    }
    if sites.is_empty() {
        return Vec::new();
    }
    let kind = object.arch.relative_reloc();
    let mut made = Section {
        name: STATIC_CALL_SITES.into(),
        kind: SHT_PROGBITS,
        flags: u64::from(SHF_ALLOC | SHF_WRITE),
        align: 4,
        ..Section::default()
    };
    let mut keys: Vec<External> = Vec::new();
    for (n, (section, start, key, tail)) in sites.into_iter().enumerate() {
        let (code, shift) = anchor(object, section, start);
        let at = n as u64 * size;
        made.relocs.push(Reloc { offset: at, kind, symbol: code, addend: shift });
        let known = object.symbols.len();
        let symbol = object.undefined(&key);
        if symbol == known {
            keys.push(External { name: key, origin: Origin::OtherUnits });
        }
        made.relocs.push(Reloc { offset: at + 4, kind, symbol, addend: tail });
    }
    made.size = made.relocs.len() as u64 * 4;
    made.data = vec![0; made.size as usize];
    object.sections.push(made);
    keys
}

/// A symbol of the section and the distance from it.
fn anchor(object: &Object, section: SecId, offset: u64) -> (SymId, i64) {
    let symbols =
        object.symbols.iter().enumerate().filter(|(_, s)| s.section() == Some(section) && s.kind == SymKind::Func);
    let best = symbols
        .filter(|(_, s)| s.value <= offset)
        .max_by_key(|(_, s)| s.value)
        .or_else(|| object.symbols.iter().enumerate().find(|(_, s)| s.section() == Some(section)));
    match best {
        Some((id, s)) => (id, offset as i64 - s.value as i64),
        None => (0, offset as i64),
    }
}
