// SPDX-License-Identifier: GPL-2.0-or-later
//! How far apart the entries of a special section are: a size that someone gave, held against what the
//! section's own relocations show.

use crate::elf::{Object, SecId, Section};

/// How many bytes of each entry are used, when entries are `stride` bytes apart; None where that does not
/// fit. The last entry may lack the padding behind it (`.parainstructions` ends that way: the assembler aligns
/// the beginning of an entry, not its end).
pub fn used(section: &Section, stride: u64) -> Option<u64> {
    if stride == 0 || section.size == 0 {
        return None;
    }
    let rest = section.size % stride;
    if rest == 0 {
        return Some(stride);
    }
    let padding = stride - rest;
    let inside = section.relocs.iter().all(|r| r.offset % stride < rest);
    let empty = (0..section.size / stride)
        .all(|n| section.bytes(n * stride + rest..(n + 1) * stride).iter().all(|&byte| byte == 0));
    (padding < section.align && section.size.next_multiple_of(section.align).is_multiple_of(stride) && inside && empty)
        .then_some(rest)
}

/// The entry size of a section whose entries have a reference to code at offset `code`: the given one where it fits,
/// otherwise the one that the relocations prove, otherwise the given one again (to be refused later).
pub fn settle(object: &Object, id: SecId, code: u64, given: u64) -> u64 {
    match (fits(object, id, code, given), shown(object, id, code)) {
        (true, Some(shown)) if shown < given => shown,
        (true, _) | (false, None) => given,
        (false, Some(shown)) => shown,
    }
}

/// True where each entry has a reference to code at its place.
fn fits(object: &Object, id: SecId, code: u64, stride: u64) -> bool {
    let section = &object.sections[id];
    let Some(used) = used(section, stride) else { return false };
    let mut start = 0;
    while start < section.size {
        if !section.relocs_in(start + code..start + code + 1).first().is_some_and(|r| is_code(object, r.symbol)) {
            return false;
        }
        start += stride;
    }
    // No field lies across the end of an entry.
    section.relocs.iter().all(|r| {
        let width = object.arch.field(r.kind).map_or(0, |field| field.bytes() as u64);
        r.offset % stride + width <= used
    })
}

/// The smallest size that fits. None as well where every field is a reference to code, as then the
/// relocations do not tell where an entry ends (`__ex_table` with a handler).
fn shown(object: &Object, id: SecId, code: u64) -> Option<u64> {
    let section = &object.sections[id];
    let first = section.relocs.first()?;
    let second = section.relocs.get(1).map_or(section.size, |r| r.offset);
    if first.offset != code || section.relocs.iter().all(|r| is_code(object, r.symbol)) && dense(section, second) {
        return None;
    }
    (second..=section.size.next_multiple_of(section.align.max(1)).min(128))
        .find(|&stride| fits(object, id, code, stride))
}

/// True where references of one width fill the whole section.
fn dense(section: &Section, width: u64) -> bool {
    width > 0 && section.relocs.len() as u64 == section.size / width
}

fn is_code(object: &Object, symbol: usize) -> bool {
    object.symbols[symbol].section().is_some_and(|home| object.sections[home].is_text())
}
