// SPDX-License-Identifier: GPL-2.0-or-later
//! The second reader notices: extracts of pairs are broken in one place, again and again, and each has to be refused.
//!
//! What is broken: bytes of code, data and entries; addends; what a relocation leads to, in the extract and outside of it;
//! strings; entries of special sections; symbols of namesakes. Both architectures.

#[allow(dead_code)]
#[path = "pairs/machine.rs"]
mod machine;
#[path = "pairs/mutants.rs"]
mod mutants;
#[path = "pairs/reader.rs"]
mod reader;

use kmend_builder::cli::diff::compare;
use machine::{Machine, MACHINES};
use mutants::{mutants, Mutant};
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
        for Mutant { kind, what, object } in mutants(&extract.object, &|_, _| true) {
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

/// A source of which the first reader sees nothing wrong, as its variables are writable; the second one is told that they are not.
const WRITES: &str = r#"
#include "KERNEL"
struct pair { int a, b; long more[40]; };
static struct pair both __section(".data..plain") = { 1, 2 };
void *memset(void *to, int with, unsigned long bytes);
int memcmp(const void *a, const void *b, unsigned long bytes);
void unknown(const void *p);
int __used sets(int x) { return both.a = x; }
int clears(unsigned long n)
{
#ifdef PATCHED
	memset(&both, 0, n);
#endif
	return both.a;
}
int through_a_register(int n)
{
#ifdef PATCHED
	struct pair *p = &both;

	__asm__("" : "+r"(p));
	for (int i = 0; i < n; i++)
		p->more[i] = source();
#endif
	return both.a;
}
int reads(const void *with, unsigned long n)
{
#ifdef PATCHED
	unknown(&both);
	n = memcmp(&both, with, n);
#endif
	return both.a + n;
}
int did_so_before(int x)
{
#ifdef PATCHED
	x++;
#endif
	memset(&both, x, sizeof(both));
	return both.a;
}
"#;

#[test]
fn writes_to_read_only_memory() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pairs/kernel.h");
    let source = folder.path().join("writes.c");
    std::fs::write(&source, WRITES.replace("KERNEL", &kernel.display().to_string())).unwrap();
    for (machine, model) in MACHINES.iter().flat_map(|m| m.models.iter().map(move |model| (m, *model))) {
        let compile = |name: &str, define: &[&str]| {
            let object = folder.path().join(name);
            let flags: Vec<&str> = model.split_whitespace().chain(define.iter().copied()).collect();
            machine.compile(&source, &flags, &object).unwrap();
            object
        };
        let (original, patched) = (compile("original.o", &[]), compile("patched.o", &["-DPATCHED"]));
        let outcome = compare(&original, &patched, None, &BTreeSet::new()).unwrap();
        let extract = outcome.extract.expect("nothing speaks against it");
        let mut reader = Reader::new(&original, &patched, None).unwrap();
        assert!(reader.read(&extract, &extract.object).is_ok(), "{} {model}", machine.name);
        reader.rename_section(".data..plain", ".data..ro_after_init");
        let refusals = reader.read(&extract, &extract.object).expect_err("it is written");
        let named: BTreeSet<&str> = refusals.iter().map(|r| r.symbol.as_str()).collect();
        assert_eq!(named, BTreeSet::from(["clears", "through_a_register"]), "{} {model}: {refusals:?}", machine.name);
    }
}
