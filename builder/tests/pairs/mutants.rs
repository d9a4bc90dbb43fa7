// SPDX-License-Identifier: GPL-2.0-or-later
//! Damage: an object in, many objects with one fault each out.

use kmend_builder::arch::Field;
use kmend_builder::elf::{Object, Place, SecId, Section, SymKind, Symbol, SHF_RELA_LIVEPATCH, SHT_NOBITS};
use kmend_builder::special::row_of;
use std::collections::BTreeSet;

/// A broken object, with what was done to it.
pub struct Mutant {
    /// The kind of damage.
    pub kind: &'static str,
    /// Where.
    pub what: String,
    /// The object.
    pub object: Object,
}

fn is_looked_at(object: &Object, id: SecId) -> bool {
    let section = &object.sections[id];
    section.is_alloc() && !section.name.starts_with(".discard.") && section.size > 0
}

/// Breaks `object` in many ways, one at a time, where `is_new` says that a place in a section is the new code's.
pub fn mutants(object: &Object, is_new: &dyn Fn(SecId, u64) -> bool) -> Vec<Mutant> {
    let mut all = Vec::new();
    let mut add = |kind, what: String, change: &dyn Fn(&mut Object)| {
        let mut mutant = object.clone();
        change(&mut mutant);
        all.push(Mutant { kind, what, object: mutant });
    };
    for (id, section) in object.sections.iter().enumerate().filter(|(id, _)| is_looked_at(object, *id)) {
        let late = section.flags & SHF_RELA_LIVEPATCH != 0;
        let home = if late { section.info as usize } else { id };
        for (n, r) in section.relocs.iter().enumerate().filter(|(_, r)| is_new(home, r.offset)) {
            if object.arch.field(r.kind).is_none_or(|f| f == Field::None) {
                continue;
            }
            let symbol = &object.symbols[r.symbol];
            let at = format!("{}+{:#x} ({})", section.name, r.offset, object.symbol_name(r.symbol));
            // What takes no room has no place, and an empty alternative is nowhere.
            let empty = symbol
                .section()
                .is_some_and(|home| object.sections[home].size == 0 || symbol.value == object.sections[home].size);
            if !empty {
                add("addend", at.clone(), &|o| o.sections[id].relocs[n].addend += 8);
            }
            add("dropped reference", at.clone(), &|o| _ = o.sections[id].relocs.remove(n));
            // To something else: outside for inside, inside for outside, and another of the same kind.
            let outside = symbol.section().is_none();
            let other = |wanted: bool| {
                object.symbols.iter().enumerate().skip(1).find(|(s, other)| {
                    let alias =
                        other.section().is_some() && (other.section(), other.value) == (symbol.section(), symbol.value);
                    *s != r.symbol
                        && other.section().is_none() == wanted
                        && other.place != Place::Absolute
                        && !other.name.is_empty()
                        && !alias
                        && other.name != symbol.name
                        && other.kind != SymKind::File
                        && !object.arch.is_linker_symbol(&other.name)
                        && other
                            .section()
                            .is_none_or(|home| is_looked_at(object, home) && other.value < object.sections[home].size)
                })
            };
            if let (Some((s, name)), false) = (other(outside), empty) {
                add("redirected", format!("{at} to {}", name.name), &|o| o.sections[id].relocs[n].symbol = s);
            }
            if let (Some((s, name)), false) = (other(!outside), empty) {
                let kind = if outside { "kernel's to module's" } else { "module's to kernel's" };
                add(kind, format!("{at} to {}", name.name), &|o| o.sections[id].relocs[n].symbol = s);
            }
        }
        if late {
            continue;
        }
        // `verify` sees to it that the fields of livepatch relocations are empty.
        let is_for = |s: &&Section| s.flags & SHF_RELA_LIVEPATCH != 0 && s.info as usize == id;
        let late_ones = object.sections.iter().filter(is_for).flat_map(|s| &s.relocs);
        let covered: BTreeSet<u64> = section
            .relocs
            .iter()
            .chain(late_ones)
            .flat_map(|r| r.offset..r.offset + object.arch.field(r.kind).map_or(0, |f| f.bytes() as u64))
            .collect();
        if section.kind != SHT_NOBITS {
            let plain = (0..section.size).filter(|at| !covered.contains(at) && is_new(id, *at));
            for at in plain.step_by(7) {
                let kind = match () {
                    () if section.is_text() => "byte of code",
                    () if section.is_strings() => "letter",
                    () if row_of(&section.name).is_some() => "byte of an entry",
                    () => "byte of data",
                };
                add(kind, format!("{}+{at:#x}", section.name), &|o| o.sections[id].data[at as usize] ^= 0x11);
            }
        }
        if section.is_strings() {
            let unit = section.entsize.max(1) as usize;
            let letters =
                section.data.chunks(unit).enumerate().filter(|(_, l)| l.iter().any(|&b| b != 0)).map(|(n, _)| n);
            for n in letters.filter(|n| is_new(id, (n * unit) as u64)).step_by(3) {
                add("cut string", format!("{}+{:#x}", section.name, n * unit), &|o| {
                    o.sections[id].data[n * unit..(n + 1) * unit].fill(0);
                });
            }
        }
        if row_of(&section.name).is_some() && section.relocs.first().is_some_and(|r| is_new(id, r.offset)) {
            add("dropped table", section.name.clone(), &|o| {
                o.sections[id].relocs.clear();
                o.sections[id].data.clear();
                o.sections[id].size = 0;
                for s in &mut o.symbols {
                    if s.section() == Some(id) {
                        (s.value, s.size) = (0, 0);
                    }
                }
            });
        }
        if !section.is_strings() && row_of(&section.name).is_none() && is_new(id, 0) {
            add("more of it", section.name.clone(), &|o| {
                let section = &mut o.sections[id];
                if section.kind != SHT_NOBITS {
                    section.data.extend([0x55; 16]);
                }
                section.size += section.align.max(16);
            });
        }
    }
    // A livepatch symbol means the next of its namesakes.
    for (id, symbol) in object.symbols.iter().enumerate().filter(|(_, s)| s.place == Place::Livepatch) {
        let Some((name, position)) = symbol.name.rsplit_once(',') else { continue };
        let position: u64 = position.parse().unwrap_or(0);
        // 1 is as good as 0 where there is one.
        let other = if position == 0 { 2 } else { position + 1 };
        add("position", symbol.name.clone(), &|o| o.symbols[id].name = format!("{name},{other}"));
        if position > 1 {
            add("position", symbol.name.clone(), &|o| o.symbols[id].name = format!("{name},{}", position - 1));
        }
    }
    // Two references to things of one kind change places.
    for (a, one) in object.symbols.iter().enumerate() {
        let twin = object.symbols.iter().enumerate().skip(a + 1).find(|(_, other)| {
            let kind = (one.kind, one.is_undefined(), one.section().is_some())
                == (other.kind, other.is_undefined(), other.section().is_some());
            kind && one.name != other.name && !one.name.is_empty() && !other.name.is_empty()
        });
        let Some((b, other)) = twin else { continue };
        let used = |s| {
            let looked_at = object.sections.iter().enumerate().filter(|(id, _)| is_looked_at(object, *id));
            let mut new = looked_at.flat_map(|(id, section)| {
                let late = section.flags & SHF_RELA_LIVEPATCH != 0;
                let home = if late { section.info as usize } else { id };
                section.relocs.iter().filter(move |r| is_new(home, r.offset))
            });
            new.any(|r| r.symbol == s)
        };
        // Two things that are alike in the module may be exchanged everywhere: nothing is another then. Neither is it where
        // entries of one table change places.
        let alike = match (one.section(), other.section()) {
            (Some(a), Some(b)) => {
                let bytes = |id: SecId, s: &Symbol| {
                    object.sections[id].bytes(s.value..s.value + if s.size > 0 { s.size } else { 8 }).to_vec()
                };
                let kept = |id: SecId, s: &Symbol| (s.size, object.sections[id].kind, object.sections[id].flags);
                one.kind == SymKind::Func || kept(a, one) == kept(b, other) && bytes(a, one) == bytes(b, other)
            }
            _ => false,
        };
        let same_place = one.section().is_some() && (one.section(), one.value) == (other.section(), other.value);
        let empty = |s: &Symbol| s.section().is_some_and(|home| object.sections[home].size == 0);
        if used(a) && used(b) && !alike && !same_place && !empty(one) && !empty(other) {
            add("namesakes", format!("{} and {}", one.name, other.name), &|o| {
                for r in o.sections.iter_mut().filter(|s| s.is_alloc()).flat_map(|s| &mut s.relocs) {
                    r.symbol = if r.symbol == a {
                        b
                    } else if r.symbol == b {
                        a
                    } else {
                        r.symbol
                    };
                }
            });
        }
    }
    all
}
