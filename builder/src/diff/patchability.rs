// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage patchability: a [`ChangeSet`] in, the reasons out why it cannot become a live patch.

use super::view::{ItemKind, Ref, View};
use super::{names, ChangeSet};
use crate::elf::SHT_NOTE;
use crate::error::Refusal;
use crate::special;
use std::collections::BTreeMap;

/// Changes against which nothing speaks: only [`check`] makes one, and only of this `extract` takes code.
#[derive(Clone, Copy)]
pub struct Patchable<'a, 'o>(&'a ChangeSet<'o>);

impl<'a, 'o> Patchable<'a, 'o> {
    /// The changes.
    pub fn changes(&self) -> &'a ChangeSet<'o> {
        self.0
    }
}

/// Lets changes through that can be live patched; the reasons against it otherwise.
pub fn check<'a, 'o>(changes: &'a ChangeSet<'o>) -> Result<Patchable<'a, 'o>, Vec<Refusal>> {
    let found = refusals(changes);
    if found.is_empty() {
        Ok(Patchable(changes))
    } else {
        Err(found)
    }
}

/// Every reason against live patching these changes; empty when there is none.
pub fn refusals(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    let mut found = Vec::new();
    // An entry size matters only where something changed.
    if !changes.functions.is_empty() {
        found.extend(changes.refusals.iter().cloned());
    }
    found.extend(changes.lost.iter().cloned());
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
    for (section, why) in &changes.unnamed_code {
        found.push(Refusal::new(
            "unnamed-code",
            "",
            section,
            format!("the fix changes code that has no name, or no size: {why}"),
            "livepatch replaces functions by name; in assembler give it one with SYM_FUNC_START and SYM_FUNC_END, otherwise leave it alone, and do not strip symbols",
        ));
    }
    for &item in changes.new_data.iter().filter(|&&item| !patched.items[item].is_own_copy(patched.object)) {
        let it = &patched.items[item];
        let section = &patched.section(item).name;
        if section.starts_with(".init") || section == "__param" {
            found.push(Refusal::new(
                "init-data",
                &it.name,
                section,
                "the fix adds data that the kernel reads only while it starts or loads the module".into(),
                "a live patch comes after that; leave this part out",
            ));
        } else if !it.is_own_copy(patched.object) && !is_plain(section) {
            found.push(Refusal::new(
                "unknown-section",
                &it.name,
                section,
                format!("the fix adds {} to a section that kmend does not know", it.name),
                "the kernel reads such tables in its own image alone; leave this part of the fix out, or ask for the section to be supported",
            ));
        }
    }
    found.extend(exports(changes));
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
        .filter_map(|(_, r)| match patched.through_toc(*r) {
            Ref::Item { item, .. } => {
                changes.twins.ambiguous.get(&item).filter(|_| patched.section(item).is_writable())
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

/// kpatch's macros that ask for something to be run: the diff passes them over, a live patch that is to be
/// loaded must not.
pub fn kpatch_callbacks(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    let sections = changes.patched.object.sections.iter().filter(|s| s.size > 0);
    sections
        .filter(|s| s.name.starts_with(".kpatch.") && !s.name.starts_with(".kpatch.ignore."))
        .map(|s| {
            Refusal::new(
                "kpatch-macro",
                "",
                &s.name,
                "the fix asks kpatch to run something, and kmend does not read these macros".into(),
                "use those of <linux/livepatch_helpers.h> for callbacks (KLP_PRE_PATCH_CALLBACK and its relations); leave others out",
            )
        })
        .collect()
}

/// Symbols that the fix exports anew, or under another licence or namespace.
fn exports(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    // include/linux/export-internal.h and, before 6.4, include/linux/export.h.
    let is_table =
        |name: &str| name == ".export_symbol" || name.starts_with("__ksymtab") || name.starts_with("___ksymtab");
    let named = |view: &View<'_>| -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for (id, section) in view.object.sections.iter().enumerate().filter(|(_, s)| is_table(&s.name)) {
            for r in &section.relocs {
                let name = match view.reference(id, r.offset..r.offset + 1, r) {
                    Ref::Item { item, .. } if view.items[item].kind != ItemKind::Anonymous => {
                        view.items[item].name.clone()
                    }
                    Ref::External { symbol, .. } => view.object.symbols[symbol].name.clone(),
                    _ => continue,
                };
                all.entry(name).or_insert_with(|| section.name.clone());
            }
        }
        all
    };
    let texts = |view: &View<'_>| -> Vec<Vec<u8>> {
        view.object.sections.iter().filter(|s| s.name == ".export_symbol").map(|s| s.data.clone()).collect()
    };
    let (old, new) = (named(&changes.original), named(&changes.patched));
    let added: Vec<Refusal> = new
        .iter()
        .filter(|(name, _)| !old.contains_key(*name))
        .map(|(name, section)| {
            Refusal::new(
                "export-added",
                name,
                section,
                "the fix exports a new symbol".into(),
                "a live patch cannot add exports; leave the EXPORT_SYMBOL out of the fix",
            )
        })
        .collect();
    if added.is_empty() && old.len() == new.len() && texts(&changes.original) != texts(&changes.patched) {
        return vec![Refusal::new(
            "export-changed",
            "",
            ".export_symbol",
            "the fix changes the licence or namespace of an export".into(),
            "a live patch cannot change exports; leave this part of the fix out",
        )];
    }
    added
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
            || p.object.arch.is_toc(&section.name)
        {
            continue;
        }
        if super::ignore::is_macro_section(&section.name) {
            continue;
        }
        // Unwind tables that the kernel does not read.
        if section.is_text() || section.is_constants() || is_plain(&section.name) || section.name == ".eh_frame" {
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
        "__kcrctab",
        "___kcrctab",
        ".export_symbol",
        "__dyndbg",
        "__verbose",
    ]
    .iter()
    .any(|start| name == *start || name.strip_prefix(start).is_some_and(|rest| rest.starts_with(['.', '_', '+'])))
}
