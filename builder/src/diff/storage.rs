// SPDX-License-Identifier: GPL-2.0-or-later
//! Twins, and writes, that do not go with the kind of memory in which the running kernel keeps a function or datum: views in,
//! refusals out. The original says what that is.

use super::correlate::Twins;
use super::ignore::Ignored;
use super::view::{ItemId, ItemKind, Ref, View};
use super::{constants, ChangeSet};
use crate::error::Refusal;
use crate::special::known::{class_of, Class};
use crate::special::storage::{area, Storage};
use crate::special::writes;
use std::collections::{HashMap, HashSet};

/// How the running kernel keeps an item of a view.
pub fn of(view: &View<'_>, item: ItemId) -> Storage {
    Storage::of(view.section(item))
}

/// Twins of which the running kernel's cannot serve the patched code.
pub fn misplaced(original: &View<'_>, patched: &View<'_>, twins: &Twins, ignored: &Ignored) -> Vec<Refusal> {
    let mut found = Vec::new();
    for (p, item) in patched.items.iter().enumerate() {
        let Some(o) = twins.of_patched[p].filter(|_| item.kind != ItemKind::Anonymous) else { continue };
        let section = &patched.section(p).name;
        let is_known = |view: &View<'_>, id: ItemId| {
            matches!(class_of(&view.section(id).name), Some(Class::Code | Class::Data | Class::Start))
        };
        let left_out = match item.kind {
            ItemKind::Function => ignored.function(&item.name, section).is_some(),
            _ => ignored.section(section).is_some() || item.is_own_copy(patched.object),
        };
        let (running, wanted) = (of(original, o), of(patched, p));
        if left_out || !is_known(original, o) || !is_known(patched, p) {
            continue;
        }
        if !running.cannot_serve(wanted) {
            let why = other_area(original, patched, (o, p)).or_else(|| other_alignment(original, patched, (o, p)));
            found.extend(why.map(|(why, hint)| Refusal::new("storage-class", &item.name, section, why, hint)));
            continue;
        }
        let hint = match running {
            Storage::Init | Storage::Exit if item.kind == ItemKind::Function => {
                "give the code that needs it a copy of the function under another name"
            }
            Storage::Init | Storage::Exit => "give the code that needs it a copy of the datum under another name",
            Storage::PerCpu => "keep the variable as it is, and add a new one",
            _ if wanted == Storage::PerCpu => "keep the variable as it is, and add a new one",
            _ => "keep the variable as it is, and write to a new one instead",
        };
        found.push(Refusal::new(
            "storage-class",
            &item.name,
            section,
            format!(
                "the running kernel has it in {running} ({}), and the fix moves it to {wanted}",
                original.section(o).name
            ),
            hint,
        ));
    }
    found
}

/// Why the running kernel's is not where the kernel expects it: it knows some code and data by their addresses.
fn other_area(original: &View<'_>, patched: &View<'_>, (o, p): (ItemId, ItemId)) -> Option<(String, &'static str)> {
    let (was, now) = (&original.section(o).name, &patched.section(p).name);
    let (old, new) = (area(was), area(now));
    // Code and data of the start have run.
    if old == new || of(patched, p).is_gone() {
        return None;
    }
    let what = new.or(old)?;
    let why = format!(
        "the running kernel has it in {was}, and the fix moves it to {now}: by its address the kernel tells what is in {what}"
    );
    Some((why, "leave the attribute as it is"))
}

/// Why the running kernel's variable is not aligned as the patched code wants it. What shares a section says nothing of that.
fn other_alignment(
    original: &View<'_>,
    patched: &View<'_>,
    (o, p): (ItemId, ItemId),
) -> Option<(String, &'static str)> {
    let is_alone = |view: &View<'_>, id: ItemId| {
        view.items_in(view.items[id].section).len() == 1 && view.items[id].kind == ItemKind::Data
    };
    let (was, now) = (original.section(o).align, patched.section(p).align);
    let same_size = original.items[o].range.end - original.items[o].range.start
        == patched.items[p].range.end - patched.items[p].range.start;
    let is_more = now > was && same_size && !of(patched, p).is_gone() && is_alone(original, o) && is_alone(patched, p);
    is_more.then(|| {
        let why = format!("the running kernel has it aligned to {was} bytes, and the fix to {now}");
        (why, "keep the variable as it is, and add a new one")
    })
}

/// Writes of changed functions to what the running kernel has in read-only memory, where the running function does not write to
/// it too: such a function knows that it may, while the kernel starts.
pub fn writes(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    let view = &changes.patched;
    let mut found: Vec<Refusal> = Vec::new();
    let mut seen = HashSet::new();
    for function in &changes.functions {
        let item = &view.items[function.item];
        if of(view, function.item).is_gone() {
            continue;
        }
        let read_only: HashMap<u64, ItemId> = view
            .references(function.item)
            .into_iter()
            .filter_map(|(r, to)| match view.through_toc(to) {
                Ref::Item { item: datum, .. } if view.items[datum].kind == ItemKind::Data => {
                    let original = changes.twins.of_patched[datum]?;
                    let is_own = view.items[datum].is_own_copy(view.object);
                    (!is_own && of(&changes.original, original).is_read_only()).then_some((r.offset, datum))
                }
                Ref::Item { item: datum, .. } if constants::is_one(view, datum) => Some((r.offset, datum)),
                _ => None,
            })
            .collect();
        if read_only.is_empty() {
            continue;
        }
        let before = function.original.map_or_else(HashSet::new, |o| written(&changes.original, o));
        for (at, by) in writes::of(view.object, item.section, item.range.clone()) {
            let Some(&datum) = read_only.get(&at) else { continue };
            let twin = changes.twins.of_patched[datum];
            if twin.is_some_and(|twin| before.contains(&twin)) || !seen.insert((function.item, datum)) {
                continue;
            }
            found.push(read_only_written(
                &item.name,
                &view.section(function.item).name,
                by - item.anchor.min(by),
                &view.items[datum].name,
                twin.map_or(Storage::ReadOnly, |o| of(&changes.original, o)),
            ));
        }
    }
    found
}

/// What a function writes to.
fn written(view: &View<'_>, function: ItemId) -> HashSet<ItemId> {
    let item = &view.items[function];
    let written = writes::of(view.object, item.section, item.range.clone());
    let references = view.references(function).into_iter().filter(|(r, _)| written.contains_key(&r.offset));
    references
        .filter_map(|(_, to)| match view.through_toc(to) {
            Ref::Item { item, .. } => Some(item),
            _ => None,
        })
        .collect()
}

/// The refusal for a write.
pub fn read_only_written(function: &str, section: &str, at: u64, datum: &str, storage: Storage) -> Refusal {
    Refusal::new(
        "writes-read-only",
        function,
        section,
        format!("at offset {at:#x} it writes to {datum}, which the running kernel has in {storage}"),
        "leave out the write, or write to a new variable",
    )
}
