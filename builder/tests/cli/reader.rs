// SPDX-License-Identifier: GPL-2.0-or-later
//! The second reader on finished modules: good ones pass, and each fault in the new code is noticed.

#[path = "../pairs/mutants.rs"]
mod mutants;

use super::kernel::Kernel;
use super::Test;
use kmend_builder::elf::read::{read, Take};
use kmend_builder::elf::{write::write, Object, SecId, SymKind, Symbol};
use kmend_builder::pipeline::{build_and, Reader, Request, Seen};
use kmend_builder::session::Session;
use kmend_builder::special::{row_of, Fate};
use mutants::{mutants, Mutant};
use std::collections::{BTreeMap, BTreeSet};

pub const TESTS: &[Test] = &[("each_fault_is_noticed", each_fault_is_noticed)];

/// Functions with calls, pointers, data, strings and entries of special sections, and what is put at their start.
const FIX: (&str, &[(&str, &str)]) = (
    "fs/pipe.c",
    &[
        ("\nint create_pipe_files(struct file **res, int flags)\n{\n", "\tpr_info_once(\"kmend: pipes\\n\");\n"),
        ("\npipe_release(struct inode *inode, struct file *file)\n{\n", "\tasm volatile(\"nop\");\n"),
        (
            "\nint pipe_resize_ring(struct pipe_inode_info *pipe, unsigned int nr_slots)\n{\n",
            "\tstatic int resized; WARN_ON(++resized < 0);\n",
        ),
        ("\nstatic int fifo_open(struct inode *inode, struct file *filp)\n{\n", "\tasm volatile(\"nop\");\n"),
    ],
);

/// Symbols of the compiled Rust source and of build tools; the padding before a function of the new code is part of that.
fn is_glue(symbol: &Symbol) -> bool {
    let own = ["init_module", "cleanup_module", "__this_module", "____versions"];
    symbol.name.starts_with("__pfx_")
        || symbol.name.starts_with("_R")
        || symbol.name.starts_with("__UNIQUE_ID_")
        || own.contains(&symbol.name.as_str())
}

/// Places of the new code in a finished module.
fn new_code(object: &Object) -> impl Fn(SecId, u64) -> bool + '_ {
    let named = |s: &&Symbol| matches!(s.kind, SymKind::Func | SymKind::Data) && s.size > 0;
    let mut new: BTreeMap<SecId, Vec<(u64, u64)>> = BTreeMap::new();
    let mut glue = BTreeSet::new();
    for s in object.symbols.iter().filter(named) {
        let Some(home) = s.section() else { continue };
        match is_glue(s) {
            true => _ = glue.insert(home),
            false => new.entry(home).or_default().push((s.value, s.value + s.size)),
        }
    }
    // Tables in which nothing is about the glue.
    // What objtool makes is not read here.
    new.retain(|&id, _| row_of(&object.sections[id].name).is_none_or(|row| row.fate != Fate::MadeByObjtool));
    let is_table = |id: SecId| row_of(&object.sections[id].name).is_some_and(|row| row.fate != Fate::MadeByObjtool);
    let of_glue = |id: SecId| {
        object.sections[id].relocs.iter().any(|r| {
            let symbol = &object.symbols[r.symbol];
            let at = symbol.value.wrapping_add_signed(r.addend);
            let Some(home) = symbol.section() else { return false };
            let inside = |s: &Symbol| s.section() == Some(home) && (s.value..s.value + s.size).contains(&at);
            let at_start =
                object.sections[home].name.starts_with(".init") || object.sections[home].name.starts_with(".exit");
            at_start || object.symbols.iter().any(|s| is_glue(s) && inside(s))
        })
    };
    let tables: BTreeSet<SecId> = (0..object.sections.len()).filter(|&id| is_table(id) && !of_glue(id)).collect();
    move |id: SecId, at: u64| {
        let inside = |all: &Vec<(u64, u64)>| all.iter().any(|&(from, to)| (from..to).contains(&at));
        tables.contains(&id) || object.sections[id].is_strings() || new.get(&id).is_some_and(inside)
    }
}

fn each_fault_is_noticed() {
    let kernel = Kernel::new().with_shared_objects();
    let (path, edits) = FIX;
    let text = kernel.source(path);
    let fixed = edits.iter().fold(text.clone(), |text, (head, line)| {
        assert!(text.contains(head), "{path} has no {head:?}: the test needs another place");
        text.replacen(head, &format!("{head}{line}"), 1)
    });
    let fix = kernel.patch("pipe.patch", path, &text, &fixed);
    let (session, request) = (Session::new(kernel.target.clone()), Request::new("read_again", vec![fix]));
    let (mut counts, mut missed) = (BTreeMap::new(), Vec::new());
    let mut check = |ko: &[u8], reader: &Reader<'_>| {
        let good = read(ko, Take::NoDebug).unwrap();
        let shown = reader(&write(&good).unwrap()).unwrap();
        assert!(shown.references > 50 && shown.shown == shown.references, "{shown:?}");
        for Mutant { kind, what, object } in mutants(&good, &new_code(&good)) {
            *counts.entry(kind).or_insert(0) += 1;
            // What cannot be written or read is no module.
            let Ok(bytes) = write(&object) else { continue };
            if reader(&bytes).is_ok() {
                missed.push(format!("{kind}: {what}"));
            }
        }
    };
    let outcome = build_and(&session, &request, &mut Seen::default(), &mut check).unwrap_or_else(|e| panic!("{e:#}"));
    let shown = outcome.manifest.audit.unwrap();
    let total: usize = counts.values().sum();
    println!("{} of {total} are noticed: {counts:?}; {shown:?}", total - missed.len());
    assert!(missed.is_empty(), "{} of {total} are not noticed: {missed:#?}", missed.len());
    assert!(total > 300 && counts.contains_key("position"), "{counts:?}");
}
