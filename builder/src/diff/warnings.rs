// SPDX-License-Identifier: GPL-2.0-or-later
//! What an author should know of changes that can be live patched all the same: a [`ChangeSet`] in, warnings out.

use super::view::{ItemId, ItemKind, Ref, View};
use super::{names, patchability, ChangeSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Its stable name, kebab-case.
    pub code: String,
    /// What it is about.
    pub symbol: String,
    /// What to expect, in one sentence.
    pub reason: String,
}

impl Warning {
    fn new(code: &str, symbol: &str, reason: &str) -> Self {
        Self { code: code.into(), symbol: symbol.into(), reason: reason.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}: {}", self.code, self.symbol, self.reason)
    }
}

/// Functions that a kernel thread's main loop asks whether it is to go on (include/linux/kthread.h).
const ASKED_BY_THREADS: &[&str] = &[
    "kthread_should_stop",
    "kthread_should_park",
    "kthread_should_stop_or_park",
    "kthread_freezable_should_stop",
    "kthread_parkme",
];

/// Functions in which a task sleeps until another wakes it, however long that takes (include/linux/sched.h, wait.h; what
/// wait_event() and its like are made of).
const SLEEP: &[&str] = &[
    "schedule",
    "schedule_preempt_disabled",
    "io_schedule",
    "wait_woken",
    "schedule_hrtimeout",
    "wait_for_completion",
];

/// All warnings for these changes.
pub fn warnings(changes: &ChangeSet<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    let original = &changes.original;
    for o in changes.functions.iter().filter_map(|f| f.original) {
        let name = &original.items[o].name;
        if names::cold_parent(name).is_some() {
            continue;
        }
        if never_returns(original, o) {
            found.push(Warning::new(
                "never-returns",
                name,
                "the running function never returns: a task that is in it keeps the transition from ending, and runs the old code as long as it lives",
            ));
        } else if refers_to(original, o, ASKED_BY_THREADS) {
            found.push(Warning::new(
                "thread-loop",
                name,
                "it is the main loop of a kernel thread, or waits on behalf of one: a thread that is in it keeps the transition from ending until it comes back or is stopped",
            ));
        } else if refers_to(original, o, SLEEP) {
            found.push(Warning::new(
                "sleeps",
                name,
                "a task may sleep in it until another wakes it: as long as it does it keeps the transition from ending",
            ));
        }
    }
    found.extend(new_callbacks(changes));
    for left in &changes.left_out {
        let name = names::cold_parent(&left.name).unwrap_or(&left.name);
        let reason =
            format!("the fix changes or adds it, and {} leaves that out: the running kernel's stays in force", left.by);
        let warning = Warning::new("change-ignored", name, &reason);
        if !found.contains(&warning) {
            found.push(warning);
        }
    }
    let (old, new) = (patchability::exports_of(original), patchability::exports_of(&changes.patched));
    for name in old.difference(&new) {
        found.push(Warning::new("export-removed", name, "the running kernel still exports it"));
    }
    for name in new.difference(&old) {
        found.push(Warning::new(
            "export-left-out",
            name,
            "a live patch cannot add an export: this one is left out, and only code that the fix changes can use the symbol",
        ));
    }
    let (old, new) = (modinfo(original), modinfo(&changes.patched));
    if let Some(text) = new.difference(&old).chain(old.difference(&new)).next() {
        found.push(Warning::new(
            "modinfo-changed",
            text,
            "what a module says of itself (aliases, parameters, firmware) is read from its file: a live patch does not change it",
        ));
    }
    found
}

/// Pointers to functions that only the live patch has: code that keeps one would run freed memory once the live patch
/// is unloaded.
fn new_callbacks(changes: &ChangeSet<'_>) -> Vec<Warning> {
    let view = &changes.patched;
    let mut users: Vec<ItemId> =
        changes.functions.iter().map(|f| f.item).chain(changes.new_data.iter().copied()).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&user) = users.get(at) {
        at += 1;
        let item = &view.items[user];
        for r in view.relocs(user) {
            // Constants without a name, and entries of a TOC, are carried by what refers to them.
            if let Ref::Item { item: to, .. } = view.reference(item.section, item.range.clone(), &r) {
                if view.items[to].kind == ItemKind::Anonymous && !users.contains(&to) {
                    users.push(to);
                }
            }
            let Some(function) = changes.points_to(item.section, item.range.clone(), &r) else { continue };
            let is_new =
                changes.twins.of_patched[function].is_none() && changes.functions.iter().any(|f| f.item == function);
            if !is_new || names::cold_parent(&view.items[function].name).is_some() {
                continue;
            }
            let name = &view.items[function].name;
            let place = match item.kind {
                ItemKind::Function => format!("{}()+{:#x}", item.name, r.offset - item.anchor.min(r.offset)),
                ItemKind::Data => item.name.clone(),
                ItemKind::Anonymous => format!("{}+{:#x}", item.name, r.offset),
            };
            let warning = new_callback(name, &place);
            if !found.iter().any(|w: &Warning| w.symbol == *name) {
                found.push(warning);
            }
        }
    }
    found
}

/// The warning about a pointer to the new function `name`; `place` says where it is.
pub fn new_callback(name: &str, place: &str) -> Warning {
    let reason = format!("{place} takes the address of this new function: who keeps it (a timer, a work item, RCU, a table) would be left with it when the live patch is unloaded");
    Warning::new("new-callback", name, &reason)
}

/// True where no instruction of a function, or of its cold part, leads out of it for good.
fn never_returns(view: &View<'_>, function: ItemId) -> bool {
    let name = &view.items[function].name;
    let is_part = |id: ItemId| id == function || names::cold_parent(&view.items[id].name) == Some(name);
    let parts = (0..view.items.len()).filter(|&id| view.items[id].kind == ItemKind::Function && is_part(id));
    let mut parts = parts.peekable();
    parts.peek().is_some()
        && parts.all(|id| {
            let item = &view.items[id];
            let stays = |r: &crate::elf::Reloc| match view.reference(item.section, item.range.clone(), r) {
                Ref::Item { item, .. } => is_part(item),
                _ => false,
            };
            !view.object.arch.leaves(view.section(id), item.anchor..item.range.end, &stays)
        })
}

fn refers_to(view: &View<'_>, function: ItemId, names: &[&str]) -> bool {
    let mut references = view.references(function).into_iter().map(|(_, r)| view.through_toc(r));
    references.any(|r| match r {
        Ref::External { symbol, .. } => names.contains(&view.object.symbol_name(symbol)),
        Ref::Item { item, .. } => item != function && names.contains(&view.items[item].name.as_str()),
        _ => false,
    })
}

fn modinfo(view: &View<'_>) -> BTreeSet<String> {
    let sections = view.object.sections.iter().filter(|s| s.name == ".modinfo");
    let texts = sections.flat_map(|s| s.data.split(|&b| b == 0).filter(|t| !t.is_empty()));
    texts.map(|t| String::from_utf8_lossy(t).into_owned()).collect()
}
