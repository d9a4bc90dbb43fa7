// SPDX-License-Identifier: GPL-2.0-or-later
//! Finds for each item of the original its twin in the patched object.
//!
//! Names settle most. A number behind a static local (`count.12`) settles nothing, as it moves with every
//! declaration: such data are told apart by the functions that use them.

use super::names;
use super::view::{ItemId, ItemKind, Ref, View};
use std::collections::{BTreeMap, HashMap};

/// Who is whose twin, both ways.
#[derive(Clone, Debug, Default)]
pub struct Twins {
    /// Twin in the patched object, by original item.
    pub of_original: Vec<Option<ItemId>>,
    /// Twin in the original object, by patched item.
    pub of_patched: Vec<Option<ItemId>>,
    /// Patched data of which no one can say which original they continue, with the base of their names.
    pub ambiguous: HashMap<ItemId, String>,
}

impl Twins {
    fn pair(&mut self, original: ItemId, patched: ItemId) -> bool {
        if self.of_original[original].is_some() || self.of_patched[patched].is_some() {
            return self.of_original[original] == Some(patched);
        }
        self.of_original[original] = Some(patched);
        self.of_patched[patched] = Some(original);
        true
    }
}

/// Correlates two views.
pub fn correlate(original: &View<'_>, patched: &View<'_>) -> Twins {
    let mut twins = Twins {
        of_original: vec![None; original.items.len()],
        of_patched: vec![None; patched.items.len()],
        ambiguous: HashMap::new(),
    };
    clones(&mut twins, original, patched);
    by_key(&mut twins, original, patched, |view, id| {
        let item = &view.items[id];
        let numbered = item.kind == ItemKind::Data && names::without_number(&item.name).is_some();
        let counted = names::without_btf_counter(&item.name).is_some();
        (!numbered && !counted && !item.is_own_copy(view.object)).then(|| item.name.clone())
    });
    by_key(&mut twins, original, patched, |view, id| {
        let item = &view.items[id];
        (item.kind == ItemKind::Function).then(|| names::without_clone_number(&item.name))
    });
    by_key(&mut twins, original, patched, |view, id| names::without_line(&view.items[id].name));
    btf_ids(&mut twins, original, patched);
    by_users(&mut twins, original, patched);
    twins
}

/// Pairs BTF ids, which have a counter and a line in their names, in order where there are as many on each side.
fn btf_ids(twins: &mut Twins, original: &View<'_>, patched: &View<'_>) {
    let groups = |view: &View<'_>, known: &[Option<ItemId>]| {
        let mut groups: BTreeMap<String, Vec<ItemId>> = BTreeMap::new();
        for (id, item) in view.items.iter().enumerate().filter(|&(id, _)| known[id].is_none()) {
            if let Some(plain) = names::without_btf_counter(&item.name) {
                groups.entry(plain.to_string()).or_default().push(id);
            }
        }
        groups
    };
    let mut in_patched = groups(patched, &twins.of_patched);
    for (plain, of_original) in groups(original, &twins.of_original) {
        let of_patched = in_patched.remove(&plain).unwrap_or_default();
        if of_original.len() == of_patched.len() {
            for (o, p) in of_original.into_iter().zip(of_patched) {
                twins.pair(o, p);
            }
        }
    }
}

/// Pairs the clones of a function where there are as many on each side: all their numbers may have moved
/// (`foo.constprop.9` and `.10` became `.10` and `.11`), but not their order.
fn clones(twins: &mut Twins, original: &View<'_>, patched: &View<'_>) {
    let groups = |view: &View<'_>| {
        let mut groups: BTreeMap<String, Vec<(Vec<u64>, ItemId)>> = BTreeMap::new();
        for (id, item) in view.items.iter().enumerate().filter(|(_, i)| i.kind == ItemKind::Function) {
            let plain = names::without_clone_number(&item.name);
            if plain != item.name {
                groups.entry(plain).or_default().push((names::clone_numbers(&item.name), id));
            }
        }
        groups.values_mut().for_each(|group| group.sort());
        groups
    };
    let mut in_patched = groups(patched);
    for (plain, of_original) in groups(original) {
        let of_patched = in_patched.remove(&plain).unwrap_or_default();
        if of_original.len() == of_patched.len() {
            for ((_, o), (_, p)) in of_original.into_iter().zip(of_patched) {
                twins.pair(o, p);
            }
        }
    }
}

/// Pairs what has the same key exactly once on each side.
fn by_key(
    twins: &mut Twins,
    original: &View<'_>,
    patched: &View<'_>,
    key: impl Fn(&View<'_>, ItemId) -> Option<String>,
) {
    type Found = (Vec<ItemId>, Vec<ItemId>);
    let mut found: HashMap<(bool, String), Found> = HashMap::new();
    for id in (0..original.items.len()).filter(|&id| twins.of_original[id].is_none()) {
        if let Some(k) = key(original, id) {
            found.entry((original.items[id].kind == ItemKind::Function, k)).or_default().0.push(id);
        }
    }
    for id in (0..patched.items.len()).filter(|&id| twins.of_patched[id].is_none()) {
        if let Some(k) = key(patched, id) {
            found.entry((patched.items[id].kind == ItemKind::Function, k)).or_default().1.push(id);
        }
    }
    for (o, p) in found.values() {
        if let ([o], [p]) = (o.as_slice(), p.as_slice()) {
            twins.pair(*o, *p);
        }
    }
}

/// Pairs static locals through the functions (and data) that refer to them.
fn by_users(twins: &mut Twins, original: &View<'_>, patched: &View<'_>) {
    let bases = |view: &View<'_>| -> HashMap<ItemId, String> {
        (0..view.items.len())
            .filter(|&id| view.items[id].kind == ItemKind::Data && !view.items[id].is_own_copy(view.object))
            .filter_map(|id| names::without_number(&view.items[id].name).map(|base| (id, base.to_string())))
            .collect()
    };
    let (base_o, base_p) = (bases(original), bases(patched));
    if base_o.is_empty() && base_p.is_empty() {
        return;
    }
    // Numbered data that an item refers to, by base name, each once, in order of first use.
    let uses = |view: &View<'_>, bases: &HashMap<ItemId, String>, user: ItemId| {
        let mut by_base: HashMap<String, Vec<ItemId>> = HashMap::new();
        for (_, reference) in view.references(user) {
            if let Ref::Item { item, .. } = view.through_toc(reference) {
                if let Some(base) = bases.get(&item) {
                    let list = by_base.entry(base.clone()).or_default();
                    if !list.contains(&item) {
                        list.push(item);
                    }
                }
            }
        }
        by_base
    };
    // A user that did not change names its data for certain; one that did, where the counts agree.
    for certain in [true, false] {
        for o in 0..original.items.len() {
            let Some(p) = twins.of_original[o] else { continue };
            if (original.bytes(o) == patched.bytes(p)) != certain {
                continue;
            }
            let mut in_p = uses(patched, &base_p, p);
            for (base, list_o) in uses(original, &base_o, o) {
                let list_p = in_p.remove(&base).unwrap_or_default();
                if list_o.len() == list_p.len() {
                    for (&a, &b) in list_o.iter().zip(&list_p) {
                        if original.section(a).name.split('.').nth(1) == patched.section(b).name.split('.').nth(1) {
                            twins.pair(a, b);
                        }
                    }
                }
            }
        }
    }
    // What is left over on both sides: the only one, with the same size; what no one refers to, in order
    // (__tracepoint_str of events that are switched off); or nobody's.
    let mut left: HashMap<&str, (Vec<ItemId>, Vec<ItemId>)> = HashMap::new();
    for (&id, base) in base_o.iter().filter(|(&id, _)| twins.of_original[id].is_none()) {
        left.entry(base).or_default().0.push(id);
    }
    for (&id, base) in base_p.iter().filter(|(&id, _)| twins.of_patched[id].is_none()) {
        left.entry(base).or_default().1.push(id);
    }
    let unused = |view: &View<'_>, ids: &[ItemId]| {
        !(0..view.items.len()).any(|user| {
            let mut references = view.references(user).into_iter().map(|(_, r)| view.through_toc(r));
            references.any(|r| matches!(r, Ref::Item { item, .. } if ids.contains(&item)))
        })
    };
    for (base, (mut o, mut p)) in left {
        o.sort_unstable();
        p.sort_unstable();
        let size = |view: &View<'_>, id: ItemId| view.items[id].range.end - view.items[id].range.start;
        match (o.as_slice(), p.as_slice()) {
            ([o], [p]) if size(original, *o) == size(patched, *p) => {
                twins.pair(*o, *p);
            }
            ([], _) | (_, []) => {}
            (o, p) if o.len() == p.len() && unused(original, o) && unused(patched, p) => {
                for (&o, &p) in o.iter().zip(p) {
                    twins.pair(o, p);
                }
            }
            (_, p) => twins.ambiguous.extend(p.iter().map(|&id| (id, base.to_string()))),
        }
    }
}
