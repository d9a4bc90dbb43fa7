// SPDX-License-Identifier: GPL-2.0-or-later
//! The second reader notices: extracts of pairs are broken in one place, again and again, and each has to be refused.
//!
//! What is broken: bytes of code, data and entries; addends; what a relocation leads to, in the extract and outside of it;
//! strings; entries of special sections; symbols of namesakes. Both architectures.

#[allow(dead_code)]
#[path = "pairs/machine.rs"]
mod machine;
#[path = "pairs/reader.rs"]
mod reader;

use kmend_builder::arch::Field;
use kmend_builder::cli::diff::compare;
use kmend_builder::elf::{Object, SecId, SymKind, SHT_NOBITS};
use kmend_builder::extract::Extract;
use kmend_builder::special::row_of;
use machine::{Machine, MACHINES};
use reader::Reader;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Pairs with references, data and entries of all kinds, and the sizes of their structs.
const PAIRS: &[(&str, Option<&str>)] = &[
    ("jump-label", None),
    ("bug-entry", None),
    ("exception-table", None),
    ("fixup", None),
    ("cswtch", None),
    ("data-new", None),
    ("lockdep-key", None),
    ("netlink-message", None),
    ("once", None),
    ("per-cpu-new", None),
    ("static-local-kept", None),
    ("string-suffix", None),
    ("string-changed", None),
    ("shared-section", None),
    ("tail-call", None),
    ("rodata-pointers", None),
    ("computed-goto", None),
    ("anonymous-constant", None),
    ("callbacks", None),
    ("line-function", None),
    ("weak", None),
    ("function-new", None),
    ("static-local-two", None),
    ("local-entry", None),
    ("isra", None),
];

/// A broken object, with what was done to it.
struct Mutant {
    kind: &'static str,
    what: String,
    object: Object,
}

fn is_looked_at(object: &Object, id: SecId) -> bool {
    let section = &object.sections[id];
    section.is_alloc() && !section.name.starts_with(".discard.") && section.size > 0
}

/// Breaks `extract` in many ways, one at a time.
fn mutants(extract: &Extract) -> Vec<Mutant> {
    let object = &extract.object;
    let mut all = Vec::new();
    let mut add = |kind, what: String, change: &dyn Fn(&mut Object)| {
        let mut mutant = object.clone();
        change(&mut mutant);
        all.push(Mutant { kind, what, object: mutant });
    };
    for (id, section) in object.sections.iter().enumerate().filter(|(id, _)| is_looked_at(object, *id)) {
        for (n, r) in section.relocs.iter().enumerate() {
            let Some(field) = object.arch.field(r.kind).filter(|&f| f != Field::None) else { continue };
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
            let outside = symbol.is_undefined();
            let other = |wanted: bool| {
                object.symbols.iter().enumerate().skip(1).find(|(s, other)| {
                    let alias =
                        other.section().is_some() && (other.section(), other.value) == (symbol.section(), symbol.value);
                    *s != r.symbol
                        && other.is_undefined() == wanted
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
            let _ = field;
        }
        let covered: BTreeSet<u64> = section
            .relocs
            .iter()
            .flat_map(|r| r.offset..r.offset + object.arch.field(r.kind).map_or(0, |f| f.bytes() as u64))
            .collect();
        if section.kind != SHT_NOBITS {
            let plain = (0..section.size).filter(|at| !covered.contains(at));
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
            for n in letters.step_by(3) {
                add("cut string", format!("{}+{:#x}", section.name, n * unit), &|o| {
                    o.sections[id].data[n * unit..(n + 1) * unit].fill(0);
                });
            }
        }
        if row_of(&section.name).is_some() && !section.relocs.is_empty() {
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
        if !section.is_strings() && row_of(&section.name).is_none() {
            add("more of it", section.name.clone(), &|o| {
                let section = &mut o.sections[id];
                if section.kind != SHT_NOBITS {
                    section.data.extend([0x55; 16]);
                }
                section.size += section.align.max(16);
            });
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
            looked_at.flat_map(|(_, section)| &section.relocs).any(|r| r.symbol == s)
        };
        let same_place = one.section().is_some() && (one.section(), one.value) == (other.section(), other.value);
        let empty = |s: &kmend_builder::elf::Symbol| s.section().is_some_and(|home| object.sections[home].size == 0);
        if used(a) && used(b) && !same_place && !empty(one) && !empty(other) {
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

/// Breaks what comes out of a pair; what was not noticed, and how many there were of each kind.
fn check(
    pair: &str,
    layout: Option<&str>,
    machine: &Machine,
    counts: &mut BTreeMap<&'static str, usize>,
) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/pairs/{pair}.c"));
    let mut missed = Vec::new();
    for model in machine.models {
        let compile = |name: &str, define: &[&str]| {
            let object = folder.path().join(name);
            let flags: Vec<&str> = model.split_whitespace().chain(define.iter().copied()).collect();
            machine.compile(&source, &flags, &object).unwrap();
            object
        };
        let (original, patched) = (compile("original.o", &[]), compile("patched.o", &["-DPATCHED"]));
        let outcome = compare(&original, &patched, layout, &BTreeSet::new()).unwrap();
        let Some(extract) = outcome.extract else { panic!("{pair} {}: nothing was extracted", machine.name) };
        let reader = Reader::new(&original, &patched, layout).unwrap();
        let good = reader.read(&extract, &extract.object);
        assert!(good.is_ok(), "{pair} {} {model}: {good:?}", machine.name);
        for Mutant { kind, what, object } in mutants(&extract) {
            *counts.entry(kind).or_default() += 1;
            if reader.read(&extract, &object).is_ok() {
                missed.push(format!("{pair} {} {model}: {kind}: {what}", machine.name));
            }
        }
    }
    missed
}

#[test]
fn each_is_noticed() {
    let mut counts = BTreeMap::new();
    let mut missed = Vec::new();
    for machine in &MACHINES {
        for (pair, layout) in PAIRS {
            missed.extend(check(pair, *layout, machine, &mut counts));
        }
    }
    let total: usize = counts.values().sum();
    println!("{} of {total} are noticed: {counts:?}", total - missed.len());
    assert!(missed.is_empty(), "{} of {total} are not noticed: {missed:#?}", missed.len());
    assert!(total > 2000 && counts.len() >= 12, "{counts:?}");
}
