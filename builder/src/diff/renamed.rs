// SPDX-License-Identifier: GPL-2.0-or-later
//! Variables that get another name: two correlated views in; out, pairs of a variable that is gone and a new one that is as large, kept in
//! the same way, begins with the same value and is used by the same functions in the same way.
//!
//! Whether one continues the other is a question that the code cannot answer: a counter under a new name has the old one's value, a new
//! counter begins with its own. So such pairs are refused.

use super::correlate::Twins;
use super::view::{ItemId, ItemKind, Ref, View};
use super::{names, storage, ChangeSet, Entries};
use crate::arch::Access;
use crate::elf::Reloc;
use crate::error::Refusal;
use crate::special::storage::area;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A variable that is gone, and a new one that may be it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// In the original.
    pub original: ItemId,
    /// In the patched object.
    pub patched: ItemId,
    /// No function of this file that exists before and after uses either of them: other files may.
    pub unused: bool,
}

/// One use of a variable by a function: how the code gets at it, and how far from its start.
type Place = (i64, Option<&'static str>);

/// Who uses a variable, and where.
type Users = BTreeMap<ItemId, Places>;

/// How often it does so in each way.
type Places = BTreeMap<Place, usize>;

/// All such pairs.
pub fn find(original: &View<'_>, patched: &View<'_>, twins: &Twins, entries: [&Entries; 2]) -> Vec<Renamed> {
    let gone = lone(original, &twins.of_original);
    let new = lone(patched, &twins.of_patched);
    if gone.is_empty() || new.is_empty() {
        return Vec::new();
    }
    let alike: Vec<(ItemId, ItemId)> = gone
        .iter()
        .flat_map(|&o| new.iter().map(move |&p| (o, p)))
        .filter(|&(o, p)| !twins.ambiguous.contains_key(&p) && is_alike(original, patched, twins, (o, p)))
        .collect();
    if alike.is_empty() {
        return Vec::new();
    }
    let before = users(original, entries[0], &alike.iter().map(|a| a.0).collect());
    let after = users(patched, entries[1], &alike.iter().map(|a| a.1).collect());
    let (none, mut found) = (Users::new(), Vec::new());
    for (o, p) in alike {
        // Of the functions that are there before and after.
        let (old, new) = (before.get(&o).unwrap_or(&none), after.get(&p).unwrap_or(&none));
        let old: BTreeMap<ItemId, &Places> =
            old.iter().filter_map(|(&user, places)| Some((twins.of_original[user]?, places))).collect();
        let new: BTreeMap<ItemId, &Places> =
            new.iter().filter(|(&user, _)| twins.of_patched[user].is_some()).map(|(&user, all)| (user, all)).collect();
        let same_users = old.keys().eq(new.keys());
        if same_users && old.iter().all(|(user, places)| fits(places, new[user])) {
            found.push(Renamed { original: o, patched: p, unused: old.is_empty() });
        }
    }
    found
}

/// Variables without a twin.
fn lone(view: &View<'_>, twins: &[Option<ItemId>]) -> Vec<ItemId> {
    let is_one = |&id: &ItemId| {
        let item = &view.items[id];
        item.kind == ItemKind::Data
            && twins[id].is_none()
            && view.section(id).is_writable()
            && !storage::of(view, id).is_read_only()
            && !storage::of(view, id).is_gone()
            && item.range.end > item.range.start
            && !item.is_own_copy(view.object)
    };
    (0..view.items.len()).filter(is_one).collect()
}

/// True where both are as large, kept in the same way and begin with the same value. Variables of the file and those of a function are
/// told apart by whoever writes them.
fn is_alike(original: &View<'_>, patched: &View<'_>, twins: &Twins, (o, p): (ItemId, ItemId)) -> bool {
    let (a, b) = (&original.items[o], &patched.items[p]);
    let kept = |view: &View<'_>, id: ItemId| (storage::of(view, id), area(&view.section(id).name));
    let size = |range: &std::ops::Range<u64>| range.end - range.start;
    // Those of one name are told apart elsewhere.
    let same_name = names::base(&a.name) == names::base(&b.name);
    !same_name
        && size(&a.range) == size(&b.range)
        && kept(original, o) == kept(patched, p)
        && value(original, o) == value(patched, p)
        && points_alike(original, patched, twins, (o, p))
}

/// The bytes of an initial value, less what relocations fill in.
fn value(view: &View<'_>, id: ItemId) -> Vec<u8> {
    let item = &view.items[id];
    let mut bytes = view.bytes(id).to_vec();
    bytes.resize((item.range.end - item.range.start) as usize, 0);
    for r in view.relocs(id) {
        if let Some(field) = view.object.arch.field(r.kind) {
            field.blank(&mut bytes[(r.offset - item.range.start) as usize..]);
        }
    }
    bytes
}

/// True where both initial values point to the same, and to themselves in the same places.
fn points_alike(original: &View<'_>, patched: &View<'_>, twins: &Twins, (o, p): (ItemId, ItemId)) -> bool {
    let (before, after) = (original.references(o), patched.references(p));
    let start = |view: &View<'_>, id: ItemId| view.items[id].range.start;
    before.len() == after.len()
        && before.iter().zip(&after).all(|((r, a), (s, b))| {
            let same_place = r.offset - start(original, o) == s.offset - start(patched, p) && r.kind == s.kind;
            same_place
                && match (*a, *b) {
                    (Ref::Item { item: a, addend: x }, Ref::Item { item: b, addend: y }) => {
                        // A new function may have taken the place of an old one, and constants and keys are each place's own.
                        let both_unknown = twins.of_original[a].is_none() && twins.of_patched[b].is_none();
                        x == y && (a == o && b == p || twins.of_original[a] == Some(b) || both_unknown)
                    }
                    (Ref::External { symbol: a, addend: x }, Ref::External { symbol: b, addend: y }) => {
                        x == y && original.object.symbol_name(a) == patched.object.symbol_name(b)
                    }
                    // The name of a lock is that of its variable.
                    (a, b) => std::mem::discriminant(&a) == std::mem::discriminant(&b),
                }
        })
}

/// Who uses the variables in question.
fn users(view: &View<'_>, entries: &Entries, wanted: &BTreeSet<ItemId>) -> HashMap<ItemId, Users> {
    let mut found: HashMap<ItemId, Users> = HashMap::new();
    let mut note = |variable: ItemId, user: ItemId, place: Place| {
        let places = found.entry(variable).or_default().entry(user).or_default();
        *places.entry(place).or_default() += 1;
    };
    let target = |to: Ref| match view.through_toc(to) {
        Ref::Item { item, addend } if wanted.contains(&item) => Some((item, addend)),
        _ => None,
    };
    for (user, item) in view.items.iter().enumerate() {
        if item.kind == ItemKind::Anonymous || wanted.contains(&user) {
            continue;
        }
        let hits: Vec<(Reloc, ItemId, i64)> = view
            .references(user)
            .into_iter()
            .filter_map(|(r, to)| target(to).map(|(variable, addend)| (r, variable, addend)))
            .collect();
        if !hits.is_empty() {
            let accesses: HashMap<u64, Access> = match item.kind {
                ItemKind::Function => {
                    view.object.arch.accesses(view.section(user), item.range.clone()).into_iter().collect()
                }
                _ => HashMap::new(),
            };
            for (r, variable, addend) in hits {
                let bias = view.bias(item.section, item.range.clone(), &r);
                note(variable, user, (addend + bias, accesses.get(&r.offset).map(how)));
            }
        }
        for entry in entries.by_item.get(&user).into_iter().flatten() {
            for r in view.object.sections[entry.section].relocs_in(entry.range.clone()) {
                if let Some((variable, addend)) = target(view.reference(entry.section, entry.range.clone(), r)) {
                    note(variable, user, (addend, Some("entry")));
                }
            }
        }
    }
    found
}

fn how(access: &Access) -> &'static str {
    match access {
        Access::Direct { writes: true } => "write",
        Access::Direct { writes: false } => "read",
        Access::Indexed { writes: true } => "write of an element",
        Access::Indexed { writes: false } => "read of an element",
        Access::Compared | Access::Address => "address",
    }
}

/// True where one side uses its variable in all the places in which the other does: the fix may add some, or take some away.
fn fits(old: &Places, new: &Places) -> bool {
    let within = |a: &Places, b: &Places| a.iter().all(|(place, n)| b.get(place).is_some_and(|m| m >= n));
    within(old, new) || within(new, old)
}

/// The refusals for several units, each with its source file. What other files know is asked of them as well.
pub fn refusals(units: &[(&str, &ChangeSet<'_>)]) -> Vec<Refusal> {
    let mut found = Vec::new();
    for (n, (source, changes)) in units.iter().enumerate() {
        for renamed in &changes.renamed {
            let (o, p) = (&changes.original.items[renamed.original], &changes.patched.items[renamed.patched]);
            let is_global = o.is_global(changes.original.object) && p.is_global(changes.patched.object);
            if renamed.unused && !is_global {
                continue;
            }
            let mut used = !renamed.unused;
            let others = units.iter().enumerate().filter(|(other, _)| *other != n && is_global);
            let agree = others.map(|(_, (_, other))| foreign(other, &o.name, &p.name)).all(|users| {
                used |= !users.0.is_empty();
                users.0 == users.1
            });
            if !(agree && used) {
                continue;
            }
            let (old, new) = (names::base(&o.name), names::base(&p.name));
            let section = match source.is_empty() {
                true => changes.patched.section(renamed.patched).name.as_str(),
                false => source,
            };
            found.push(Refusal::new(
                "renamed-variable",
                new,
                section,
                format!(
                    "the fix takes away the variable {old}, and adds {new}, which is as large, begins with the same value and is used in \
                     the same places: kmend cannot tell whether it is {old} under another name, whose value in the running kernel would \
                     be lost"
                ),
                &format!(
                    "keep the name {old} if it is the same variable; if it is another one, leave the definition of {old} in \
                     the file and mark it __used"
                ),
            ));
        }
    }
    found.dedup();
    found
}

/// The functions of another unit that exist before and after and use a global variable: the old one before, the new one after.
fn foreign<'c>(changes: &'c ChangeSet<'_>, old: &str, new: &str) -> (BTreeSet<&'c str>, BTreeSet<&'c str>) {
    let users = |view: &'c View<'_>, known: &[Option<ItemId>], name: &str| -> BTreeSet<ItemId> {
        let uses = |to: Ref| match view.through_toc(to) {
            Ref::External { symbol, .. } => view.object.symbol_name(symbol) == name,
            _ => false,
        };
        let is_user = |&id: &ItemId| {
            view.items[id].kind != ItemKind::Anonymous
                && known[id].is_some()
                && view.references(id).into_iter().any(|(_, to)| uses(to))
        };
        (0..view.items.len()).filter(is_user).collect()
    };
    let before = users(&changes.original, &changes.twins.of_original, old);
    let after = users(&changes.patched, &changes.twins.of_patched, new);
    let name = |id: ItemId| changes.patched.items[id].name.as_str();
    let before = before.into_iter().filter_map(|id| changes.twins.of_original[id]).map(name).collect();
    (before, after.into_iter().map(name).collect())
}
