// SPDX-License-Identifier: GPL-2.0-or-later
//! Which clone of a function (`foo.constprop.1`) continues which: two views and the twins that names have settled in, more twins out.
//!
//! The compiler numbers clones in the order in which it makes them. A new one moves the numbers of the others, so that the same
//! number is no evidence. Who calls a clone says what it is, and what its code is. A clone that neither settles stays without a
//! twin: its callers then differ from the original's, and bring the clone along as a new function.

use super::correlate::Twins;
use super::names;
use super::view::{ItemId, ItemKind, Ref, View};
use crate::elf::strings::string_at;
use std::collections::{BTreeMap, BTreeSet};

/// Pairs them. `twins` has the functions with names of the source.
pub fn pair(twins: &mut Twins, original: &View<'_>, patched: &View<'_>) {
    let (o, p) = (Clones::of(original), Clones::of(patched));
    // A clone that is paired is a caller of others.
    while by_callers(twins, original, patched, &o, &p) || by_code(twins, original, patched, &o, &p) {}
    // Of one alone, nothing else can be meant.
    for (base, before) in &o.all {
        if let ([a], Some([b])) = (before.as_slice(), p.all.get(base).map(Vec::as_slice)) {
            twins.pair(*a, *b);
        }
    }
}

/// The clones of one object.
struct Clones {
    /// By the names without numbers.
    all: BTreeMap<String, Vec<ItemId>>,
    /// The name without numbers of each.
    base: BTreeMap<ItemId, String>,
}

impl Clones {
    fn of(view: &View<'_>) -> Self {
        let mut clones = Self { all: BTreeMap::new(), base: BTreeMap::new() };
        for (id, item) in view.items.iter().enumerate().filter(|(_, item)| item.kind == ItemKind::Function) {
            let base = names::without_clone_number(&item.name);
            if base != item.name {
                clones.all.entry(base.clone()).or_default().push(id);
                clones.base.insert(id, base);
            }
        }
        clones
    }

    /// The clones that a function refers to: offset in it, clone.
    fn called(&self, view: &View<'_>, caller: ItemId) -> Vec<(u64, ItemId)> {
        let start = view.items[caller].range.start;
        let clone = |(r, to): (crate::elf::Reloc, Ref)| match view.through_toc(to) {
            Ref::Item { item, .. } => self.base.contains_key(&item).then_some((r.offset - start, item)),
            _ => None,
        };
        let references = view.references(caller).into_iter();
        references.filter_map(clone).filter(|&(_, item)| item != caller).collect()
    }
}

/// The clones without a twin: base, of the original, of the patched.
fn left<'c>(twins: &Twins, o: &'c Clones, p: &Clones) -> Vec<(&'c String, Vec<ItemId>, Vec<ItemId>)> {
    let mut found = Vec::new();
    for (base, before) in &o.all {
        let before: Vec<ItemId> = before.iter().copied().filter(|&id| twins.of_original[id].is_none()).collect();
        let after = p.all.get(base).into_iter().flatten().copied();
        let after: Vec<ItemId> = after.filter(|&id| twins.of_patched[id].is_none()).collect();
        if !before.is_empty() && !after.is_empty() {
            found.push((base, before, after));
        }
    }
    found
}

/// Who may be whom, both ways.
#[derive(Default)]
struct Votes([BTreeMap<ItemId, BTreeSet<ItemId>>; 2]);

impl Votes {
    fn add(&mut self, a: ItemId, b: ItemId) {
        self.0[0].entry(a).or_default().insert(b);
        self.0[1].entry(b).or_default().insert(a);
    }

    /// The pairs that nothing contradicts, of clones without a twin.
    fn agreed(&self, twins: &Twins, but: &Votes) -> Vec<(ItemId, ItemId)> {
        let one = |all: &BTreeSet<ItemId>| (all.len() == 1).then(|| all.first().copied())?;
        let is_pair = |(&a, all): (&ItemId, &BTreeSet<ItemId>)| {
            let b = one(all)?;
            let both = one(self.0[1].get(&b)?) == Some(a);
            let open = twins.of_original[a].is_none() && twins.of_patched[b].is_none();
            let settled = but.0[0].contains_key(&a) || but.0[1].contains_key(&b);
            (both && open && !settled).then_some((a, b))
        };
        self.0[0].iter().filter_map(is_pair).collect()
    }
}

/// By the functions that have twins: those of the same bytes call the same in the same places, and of those that changed the
/// clone of a function that one calls before is the one that it calls after. True if that paired some.
fn by_callers(twins: &mut Twins, original: &View<'_>, patched: &View<'_>, o: &Clones, p: &Clones) -> bool {
    if left(twins, o, p).is_empty() {
        return false;
    }
    let (mut same, mut changed) = (Votes::default(), Votes::default());
    for (caller, twin) in twins.of_original.iter().enumerate() {
        let Some(twin) = twin.filter(|_| original.items[caller].kind == ItemKind::Function) else { continue };
        let (before, after) = (o.called(original, caller), p.called(patched, twin));
        if original.bytes(caller) == patched.bytes(twin) && before.len() == after.len() {
            let pairs = before.iter().zip(&after).filter(|((x, a), (y, b))| x == y && o.base[a] == p.base[b]);
            pairs.for_each(|((_, a), (_, b))| same.add(*a, *b));
            continue;
        }
        for base in before.iter().map(|(_, a)| &o.base[a]).collect::<BTreeSet<_>>() {
            let of = |all: &[(u64, ItemId)], clones: &Clones| -> BTreeSet<ItemId> {
                all.iter().map(|(_, id)| *id).filter(|id| clones.base[id] == *base).collect()
            };
            let (a, b) = (of(&before, o), of(&after, p));
            if let (1, 1, Some(&a), Some(&b)) = (a.len(), b.len(), a.first(), b.first()) {
                changed.add(a, b);
            }
        }
    }
    let none = Votes::default();
    let mut found = same.agreed(twins, &none);
    if found.is_empty() {
        found = changed.agreed(twins, &same);
    }
    found.iter().filter(|(a, b)| twins.pair(*a, *b)).count() > 0
}

/// By their own code, where only one of a name has it on each side. True if that paired some.
fn by_code(twins: &mut Twins, original: &View<'_>, patched: &View<'_>, o: &Clones, p: &Clones) -> bool {
    let mut votes = Votes::default();
    for (_, before, after) in left(twins, o, p) {
        for &a in &before {
            after.iter().filter(|&&b| is_same(twins, original, patched, a, b)).for_each(|&b| votes.add(a, b));
        }
    }
    let found = votes.agreed(twins, &Votes::default());
    found.iter().filter(|(a, b)| twins.pair(*a, *b)).count() > 0
}

/// True for the same bytes and references, as far as names and strings tell.
fn is_same(twins: &Twins, original: &View<'_>, patched: &View<'_>, a: ItemId, b: ItemId) -> bool {
    let (before, after) = (original.references(a), patched.references(b));
    let same = |x: Ref, y: Ref| match (original.through_toc(x), patched.through_toc(y)) {
        (Ref::External { symbol: x, addend: i }, Ref::External { symbol: y, addend: j }) => {
            i == j && original.object.symbol_name(x) == patched.object.symbol_name(y)
        }
        (Ref::Item { item: x, addend: i }, Ref::Item { item: y, addend: j }) => {
            i == j
                && match twins.of_original[x] {
                    Some(twin) => twin == y,
                    None => twins.of_patched[y].is_none() && original.items[x].kind == patched.items[y].kind,
                }
        }
        (Ref::String { section: x, start: i, .. }, Ref::String { section: y, start: j, .. }) => {
            string_at(&original.object.sections[x], i) == string_at(&patched.object.sections[y], j)
        }
        (x, y) => std::mem::discriminant(&x) == std::mem::discriminant(&y),
    };
    original.bytes(a) == patched.bytes(b)
        && before.len() == after.len()
        && before.into_iter().zip(after).all(|((_, x), (_, y))| same(x, y))
}
