// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage patchability: a [`ChangeSet`] in, the reasons out why it cannot become a live patch.

use super::view::{ItemKind, View};
use super::{names, ChangeSet};
use crate::elf::SHT_NOTE;
use crate::error::Refusal;
use crate::special;

/// Every reason against live patching these changes; empty when there is none.
pub fn refusals(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    let mut found = Vec::new();
    // An entry size matters only where something changed.
    if !changes.functions.is_empty() {
        found.extend(changes.refusals.iter().cloned());
    }
    for function in &changes.functions {
        check_function(changes, function, &mut found);
    }
    let patched = &changes.patched;
    for (item, why) in &changes.data {
        let it = &patched.items[*item];
        let section = &patched.section(*item).name;
        found.push(Refusal::new(
            "data-changed",
            &it.name,
            section,
            format!("the fix changes existing data: {why}"),
            "a running kernel already uses this data; change it at run time instead, from code that the fix changes or from a callback",
        ));
    }
    for &item in changes.new_data.iter().filter(|&&item| !patched.items[item].is_own_copy(patched.object)) {
        let it = &patched.items[item];
        let section = &patched.section(item).name;
        if section.starts_with("__ksymtab")
            || section.starts_with("___ksymtab")
            || section.starts_with(".export_symbol")
        {
            found.push(Refusal::new(
                "export-added",
                &it.name,
                section,
                "the fix exports a new symbol".into(),
                "a live patch cannot add exports; leave the EXPORT_SYMBOL out of the fix",
            ));
        } else if section.starts_with(".init") || section == "__param" {
            found.push(Refusal::new(
                "init-data",
                &it.name,
                section,
                "the fix adds data that the kernel reads only while it starts or loads the module".into(),
                "a live patch comes after that; leave this part out",
            ));
        }
    }
    found.extend(unknown_sections(changes));
    found.dedup();
    found
}

fn check_function(changes: &ChangeSet<'_>, function: &super::ChangedFunction, found: &mut Vec<Refusal>) {
    let patched = &changes.patched;
    let item = &patched.items[function.item];
    let section = &patched.object.sections[item.section].name;
    let name = &item.name;
    if section.starts_with(".init.")
        || section.starts_with(".exit.")
        || section.starts_with(".head.")
        || section.starts_with(".meminit.")
    {
        found.push(Refusal::new(
            "init-function",
            name,
            section,
            "the fix changes code that runs only while the kernel or module starts or ends".into(),
            "this code has already run, or is gone; leave this part of the fix out, or repair its effect from a callback",
        ));
        return;
    }
    if item.stuck {
        found.push(Refusal::new(
            "shared-section",
            name,
            section,
            "it shares its section with other functions and jumps between them in a way that cannot be relocated"
                .into(),
            "compile with -ffunction-sections, or leave this function alone",
        ));
    }
    if section == ".noinstr.text" || section == ".entry.text" {
        found.push(Refusal::new(
            "no-ftrace-site",
            name,
            section,
            "it must not be traced, so it cannot be live patched".into(),
            "change one of its callers instead",
        ));
        return;
    }
    if let Some(o) = function.original {
        let original = &changes.original;
        let it = &original.items[o];
        let is_cold = names::cold_parent(&it.name).is_some();
        let s = original.section(o);
        if !is_cold
            && s.is_text()
            && !original.object.arch.has_ftrace_site(original.object, it.section, it.anchor, it.range.end)
        {
            found.push(Refusal::new(
                "no-ftrace-site",
                name,
                section,
                "the running function has no place for ftrace (notrace, or compiled without tracing), so it cannot be redirected".into(),
                "change its callers instead, for example with a copy of it under another name",
            ));
        }
    }
    let mut ambiguous: Vec<&String> = patched
        .references(function.item)
        .iter()
        .filter_map(|(_, r)| match r {
            super::view::Ref::Item { item, .. } => {
                changes.twins.ambiguous.get(item).filter(|_| patched.section(*item).is_writable())
            }
            _ => None,
        })
        .collect();
    ambiguous.sort();
    ambiguous.dedup();
    for base in ambiguous {
        found.push(Refusal::new(
            "ambiguous-static-local",
            base,
            section,
            format!("{name} uses one of several static variables called {base}, and it cannot be said which one of the running kernel that is"),
            "keep the order and number of uses of these variables in the function, or rename the new one",
        ));
    }
}

/// Loaded sections that are neither code, data nor in the special section table, and that differ.
fn unknown_sections(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    let mut found = Vec::new();
    let (o, p) = (&changes.original, &changes.patched);
    for (id, section) in p.object.sections.iter().enumerate() {
        if !section.is_alloc()
            || section.kind == SHT_NOTE
            || section.is_strings()
            || special::row_of(&section.name).is_some()
        {
            continue;
        }
        if section.is_text() || section.is_constants() || is_plain(&section.name) {
            continue;
        }
        // Sections of named data were compared item by item.
        let anonymous = |view: &View<'_>, id: usize| {
            view.items
                .iter()
                .filter(|i| i.section == id && i.kind == ItemKind::Anonymous)
                .map(|i| i.range.end - i.range.start)
                .sum::<u64>()
        };
        if anonymous(p, id) == 0 {
            continue;
        }
        let same = o.object.sections.iter().any(|s| {
            s.name == section.name
                && s.data == section.data
                && s.size == section.size
                && s.relocs.len() == section.relocs.len()
        });
        if !same {
            found.push(Refusal::new(
                "unknown-section",
                "",
                &section.name,
                "the fix changes a section that kmend does not know".into(),
                "leave the part of the fix that puts something there out, or ask for the section to be supported",
            ));
        }
    }
    found
}

/// Sections whose anonymous contents belong to the code that refers to them.
fn is_plain(name: &str) -> bool {
    [
        ".rodata",
        ".data",
        ".bss",
        ".modinfo",
        ".init",
        ".exit",
        ".sbss",
        ".sdata",
        "__ksymtab",
        "___ksymtab",
        ".export_symbol",
    ]
    .iter()
    .any(|start| {
        name == *start || name.strip_prefix(start).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('_'))
    })
}
