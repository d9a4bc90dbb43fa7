// SPDX-License-Identifier: GPL-2.0-or-later
//! Which clone of a function (`foo.constprop.1`) continues which: two objects of one unit, compiled alike, in; for a clone of the patched one,
//! the clone of the original that the same callers call, out.
//!
//! A live patch leads each caller that it leaves alone from a clone of the original to one of the patched object. What the
//! patched source means there is what that caller calls in the patched object. So callers settle it, and the compiler's
//! numbers, which move as they like, do not. Where no caller does, a clone of the same code that refers to the same things does
//! the same, whatever its number.

use super::originals::{defined, without_numbers};
use super::things::PREFIX;
use crate::elf::strings::string_at;
use crate::elf::{Object, Reloc, SecId, Section, SymId, SymKind};
use crate::section_table::{MCOUNT_LOC, PATCHABLE_ENTRIES};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// Lists of the places for ftrace.
const LISTS: [&str; 2] = [MCOUNT_LOC, PATCHABLE_ENTRIES];

/// What the callers say.
#[derive(Debug, Default)]
pub struct Clones {
    /// Callers with the same code in both objects: clone of the patched object, of the original.
    same: Pairs,
    /// Callers with other code that call one clone of a function before, and one after.
    changed: Pairs,
    /// Clones of one function with the same code, which refers to the same things.
    alike: Pairs,
}

/// Both ways: patched → original, original → patched.
#[derive(Debug, Default)]
struct Pairs([BTreeMap<SymId, BTreeSet<SymId>>; 2]);

impl Pairs {
    fn add(&mut self, patched: SymId, original: SymId) {
        self.0[0].entry(patched).or_default().insert(original);
        self.0[1].entry(original).or_default().insert(patched);
    }

    /// The one original of a clone that is no other's.
    fn only(&self, patched: SymId) -> Option<SymId> {
        let one = |all: &BTreeSet<SymId>| (all.len() == 1).then(|| all.first().copied())?;
        let original = one(self.0[0].get(&patched)?)?;
        (one(self.0[1].get(&original)?) == Some(patched)).then_some(original)
    }

    fn know(&self, patched: SymId, original: Option<SymId>) -> bool {
        self.0[0].contains_key(&patched) || original.is_some_and(|original| self.0[1].contains_key(&original))
    }
}

impl Clones {
    /// Asks the callers of both objects.
    pub fn new(patched: &Object, original: &Object) -> Self {
        let (p, o) = (Callers::new(patched), Callers::new(original));
        let mut found = Self::default();
        let now = codes(patched);
        for (base, before) in &codes(original) {
            for (clone, code) in now.get(base).into_iter().flatten() {
                before.iter().filter(|(_, other)| other == code).for_each(|(id, _)| found.alike.add(*clone, *id));
            }
        }
        for (name, before) in &o.all {
            let Some(after) = p.all.get(name) else { continue };
            let (before, after) = match (before, after) {
                (Some(before), Some(after)) => (before, after),
                _ => continue,
            };
            if before.code == after.code && before.relocs == after.relocs {
                let pairs =
                    before.calls.iter().zip(&after.calls).filter(|(b, a)| b.base == a.base && b.offset == a.offset);
                pairs.for_each(|(b, a)| found.same.add(a.clone, b.clone));
                continue;
            }
            let called = |calls: &[Call]| {
                let mut all: BTreeMap<String, BTreeSet<SymId>> = BTreeMap::new();
                calls.iter().for_each(|call| _ = all.entry(call.base.clone()).or_default().insert(call.clone));
                all
            };
            let now = called(&after.calls);
            for (base, was) in called(&before.calls) {
                if let (1, Some([one])) =
                    (was.len(), now.get(&base).map(|all| Vec::from_iter(all.iter().copied())).as_deref())
                {
                    was.iter().for_each(|&was| found.changed.add(*one, was));
                }
            }
        }
        found
    }

    /// The clone of the original that `patched` continues, where the callers agree.
    pub fn original(&self, patched: SymId) -> Option<SymId> {
        let unless = |known: &[&Pairs], original: Option<SymId>| {
            original.filter(|_| !known.iter().any(|pairs| pairs.know(patched, original)))
        };
        let changed = || unless(&[&self.same], self.changed.only(patched));
        let alike = || unless(&[&self.same, &self.changed], self.alike.only(patched));
        self.same.only(patched).or_else(changed).or_else(alike)
    }
}

/// What a clone does: its bytes, and offset, type, addend and name of each reference.
type Code<'o> = (&'o [u8], Vec<(u64, u32, i64, String)>);

/// The clones by their names without numbers, of those whose bytes and references say all that they do.
fn codes(object: &Object) -> BTreeMap<String, Vec<(SymId, Code<'_>)>> {
    // Of what a table says about places in the code, the lists of functions matter to none.
    let is_table =
        |section: &&Section| section.is_alloc() && !section.is_text() && !LISTS.contains(&section.name.as_str());
    let tables = object.sections.iter().filter(is_table).flat_map(|section| &section.relocs);
    let spoken_of: BTreeSet<SecId> = tables.filter_map(|r| object.symbols[r.symbol].section()).collect();
    let mut all: BTreeMap<String, Vec<(SymId, Code<'_>)>> = BTreeMap::new();
    for id in defined(object) {
        let symbol = &object.symbols[id];
        let (Some(base), Some(home)) = (without_numbers(&symbol.name), symbol.section()) else { continue };
        let is_clone = symbol.kind == SymKind::Func && !symbol.name.starts_with(PREFIX) && symbol.size > 0;
        if !is_clone || spoken_of.contains(&home) {
            continue;
        }
        let (section, range) = (&object.sections[home], symbol.value..symbol.value.saturating_add(symbol.size));
        let reference = |r: &Reloc| {
            let (name, by) = referred(object, section, &range, r)?;
            Some((r.offset - range.start, r.kind, by, name))
        };
        let references: Option<Vec<_>> = section.relocs_in(range.clone()).iter().map(reference).collect();
        if let Some(references) = references {
            all.entry(base).or_default().push((id, (section.bytes(range.clone()), references)));
        }
    }
    all
}

/// What a reference of code leads to, by a name of the source or the text of a string, and how far behind it. None where the
/// compiler numbered the name.
fn referred(object: &Object, section: &Section, around: &Range<u64>, r: &Reloc) -> Option<(String, i64)> {
    let plain = |name: &str| (!name.is_empty() && without_numbers(name).is_none()).then(|| name.to_string());
    let symbol = &object.symbols[r.symbol];
    let home = match (symbol.kind, symbol.section()) {
        (SymKind::Section, Some(home)) => home,
        _ => return Some((plain(&symbol.name)?, r.addend)),
    };
    let at = (symbol.value as i64).wrapping_add(r.addend).wrapping_add(object.arch.bias(section, around.clone(), r));
    let at = u64::try_from(at).ok()?;
    if object.sections[home].is_strings() {
        return Some((format!("{:?}", string_at(&object.sections[home], at)), 0));
    }
    let is_there = |s: &&crate::elf::Symbol| {
        s.section() == Some(home) && s.value == at && !matches!(s.kind, SymKind::Section | SymKind::File)
    };
    Some((plain(&object.symbols.iter().find(is_there)?.name)?, 0))
}

/// A reference to a clone.
#[derive(Debug)]
struct Call {
    /// From the start of the caller, bytes.
    offset: u64,
    /// The clone's name without numbers.
    base: String,
    clone: SymId,
}

/// A function that keeps its name.
#[derive(Debug)]
struct Caller<'o> {
    code: &'o [u8],
    /// Offset and type of each relocation.
    relocs: Vec<(u64, u32)>,
    calls: Vec<Call>,
}

/// Functions with names of the source, by these; None for a name that is there twice.
struct Callers<'o> {
    all: HashMap<&'o str, Option<Caller<'o>>>,
}

impl<'o> Callers<'o> {
    fn new(object: &'o Object) -> Self {
        let is_one =
            |id: &SymId| object.symbols[*id].kind == SymKind::Func && !object.symbols[*id].name.starts_with(PREFIX);
        let functions = || defined(object).filter(is_one);
        // A call may name the section, where that has one function.
        let mut homes: BTreeMap<SecId, Option<SymId>> = BTreeMap::new();
        for id in functions() {
            if let Some(home) = object.symbols[id].section() {
                homes.entry(home).and_modify(|one| *one = None).or_insert(Some(id));
            }
        }
        let mut all: HashMap<&str, Option<Caller<'_>>> = HashMap::new();
        for id in functions().filter(|&id| without_numbers(&object.symbols[id].name).is_none()) {
            let symbol = &object.symbols[id];
            let Some(home) = symbol.section() else { continue };
            let range = symbol.value..symbol.value.saturating_add(symbol.size);
            let section = &object.sections[home];
            let relocs = section.relocs_in(range.clone());
            let call = |r: &crate::elf::Reloc| {
                let named = &object.symbols[r.symbol];
                let clone = match named.kind {
                    SymKind::Func => r.symbol,
                    SymKind::Section => named.section().and_then(|home| homes.get(&home).copied().flatten())?,
                    _ => return None,
                };
                let base = without_numbers(&object.symbols[clone].name)?;
                Some(Call { offset: r.offset - range.start, base, clone })
            };
            let caller = Caller {
                code: section.bytes(range.clone()),
                relocs: relocs.iter().map(|r| (r.offset - range.start, r.kind)).collect(),
                calls: relocs.iter().filter_map(call).collect(),
            };
            all.entry(&symbol.name).and_modify(|one| *one = None).or_insert(Some(caller));
        }
        Self { all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{Bind, Place, Reloc, Section, Symbol};

    /// Functions one after the other in .text, 16 bytes each: name, first byte, the one that is called.
    fn object(functions: &[(&str, u8, Option<&str>)]) -> Object {
        let mut text = Section { name: ".text".into(), data: vec![0; functions.len() * 16], ..Section::default() };
        text.size = text.data.len() as u64;
        let id = |name: &str| functions.iter().position(|f| f.0 == name).expect("is one of them");
        let mut object =
            Object { arch: &crate::arch::x86_64::X86_64, flags: 0, sections: Vec::new(), symbols: Vec::new() };
        for (n, (name, byte, calls)) in functions.iter().enumerate() {
            text.data[n * 16] = *byte;
            if let Some(callee) = calls {
                text.relocs.push(Reloc { offset: n as u64 * 16 + 4, kind: 4, symbol: id(callee), addend: -4 });
            }
            object.symbols.push(Symbol {
                name: name.to_string(),
                kind: SymKind::Func,
                bind: Bind::Local,
                place: Place::In(0),
                value: n as u64 * 16,
                size: 16,
                other: 0,
            });
        }
        object.sections.push(text);
        object
    }

    #[test]
    fn callers_tell_clones_apart() {
        let before = object(&[
            ("f.constprop.0", 1, None),
            ("f.constprop.1", 2, None),
            ("a", 3, Some("f.constprop.0")),
            ("b", 4, Some("f.constprop.1")),
        ]);
        let clones = Clones::new(&before, &before);
        assert_eq!((clones.original(0), clones.original(1), clones.original(2)), (Some(0), Some(1), None));
        // The numbers have changed places.
        let after = object(&[
            ("f.constprop.0", 2, None),
            ("f.constprop.1", 1, None),
            ("a", 3, Some("f.constprop.1")),
            ("b", 4, Some("f.constprop.0")),
        ]);
        let clones = Clones::new(&after, &before);
        assert_eq!((clones.original(0), clones.original(1)), (Some(1), Some(0)));
        // One caller has other code, and calls one clone before and after.
        let after = object(&[
            ("f.constprop.0", 1, None),
            ("f.constprop.1", 2, None),
            ("a", 9, Some("f.constprop.0")),
            ("b", 4, Some("f.constprop.1")),
        ]);
        let clones = Clones::new(&after, &before);
        assert_eq!((clones.original(0), clones.original(1)), (Some(0), Some(1)));
        // It calls the one that a caller with the same code has as its own.
        let after = object(&[
            ("f.constprop.0", 1, None),
            ("f.constprop.1", 2, None),
            ("a", 9, Some("f.constprop.1")),
            ("b", 4, Some("f.constprop.1")),
        ]);
        let clones = Clones::new(&after, &before);
        assert_eq!((clones.original(0), clones.original(1)), (None, Some(1)));
        // Callers that contradict each other; none at all.
        let mixed = object(&[
            ("f.constprop.0", 1, None),
            ("f.constprop.1", 2, None),
            ("a", 3, Some("f.constprop.0")),
            ("b", 4, Some("f.constprop.0")),
        ]);
        assert_eq!(Clones::new(&mixed, &before).original(0), None);
        // Only their own code tells them apart, or nothing does.
        let alone = object(&[("f.constprop.0", 1, None), ("f.constprop.1", 2, None)]);
        let after = object(&[("f.constprop.0", 3, None), ("f.constprop.1", 1, None), ("f.constprop.2", 2, None)]);
        let clones = Clones::new(&after, &alone);
        assert_eq!((clones.original(0), clones.original(1), clones.original(2)), (None, Some(0), Some(1)));
        let twice = object(&[("f.constprop.0", 1, None), ("f.constprop.1", 1, None)]);
        assert_eq!(Clones::new(&twice, &alone).original(0), None);
        // What a clone refers to has a number: which that is, its code does not say.
        let refers = object(&[("f.constprop.0", 1, Some("f.constprop.1")), ("f.constprop.1", 2, None)]);
        assert_eq!(Clones::new(&refers, &refers).original(0), None);
    }
}
