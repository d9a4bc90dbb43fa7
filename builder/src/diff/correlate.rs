// SPDX-License-Identifier: GPL-2.0-or-later
//! Finds for each item of the original its twin in the patched object.
//!
//! Names settle most. A number behind a static local (`count.12`) settles nothing, as it moves with every
//! declaration: see [`locals`](super::locals).

use super::clones;
use super::locals::{self, Evidence};
use super::names;
use super::view::{ItemId, ItemKind, View};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Who is whose twin, both ways.
#[derive(Clone, Debug, Default)]
pub struct Twins {
    /// Twin in the patched object, by original item.
    pub of_original: Vec<Option<ItemId>>,
    /// Twin in the original object, by patched item.
    pub of_patched: Vec<Option<ItemId>>,
    /// Patched data of which no one can say which original they continue, with the base of their names.
    pub ambiguous: HashMap<ItemId, String>,
    /// Patched static variables that were paired because the same functions use them: debug information may know better.
    pub guessed: BTreeSet<ItemId>,
    /// Names that were aliases of others and are no longer, or the reverse, each with what it was or is an alias of.
    pub aliases: Vec<Alias>,
}

/// A name that changes from an alias to an item of its own, or back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: String,
    /// What it was an alias of, or is one of now.
    pub of: String,
    /// True if it has become an item of its own; false if it was one and is none any more.
    pub split: bool,
}

impl Twins {
    pub(super) fn pair(&mut self, original: ItemId, patched: ItemId) -> bool {
        if self.of_original[original].is_some() || self.of_patched[patched].is_some() {
            return self.of_original[original] == Some(patched);
        }
        self.of_original[original] = Some(patched);
        self.of_patched[patched] = Some(original);
        true
    }
}

/// Correlates two views; `evidence` is what debug information says of static variables, if there is any.
pub fn correlate(original: &View<'_>, patched: &View<'_>, evidence: Option<&Evidence>) -> Twins {
    let mut twins = Twins {
        of_original: vec![None; original.items.len()],
        of_patched: vec![None; patched.items.len()],
        ..Twins::default()
    };
    by_symbols(&mut twins, original, patched);
    by_key(&mut twins, original, patched, |view, id| {
        let item = &view.items[id];
        let numbered = item.kind == ItemKind::Data && names::without_number(&item.name).is_some();
        let counted = names::without_btf_counter(&item.name).is_some();
        let is_clone = item.kind == ItemKind::Function && names::without_clone_number(&item.name) != item.name;
        (!numbered && !counted && !is_clone && !item.is_own_copy(view.object)).then(|| item.name.clone())
    });
    clones::pair(&mut twins, original, patched);
    by_key(&mut twins, original, patched, |view, id| names::without_line(&view.items[id].name));
    btf_ids(&mut twins, original, patched);
    locals::pair(&mut twins, original, patched, evidence);
    locals::rescoped(&mut twins, original, patched);
    twins
}

/// Pairs what shares a name with one other item, whichever of several names comes first. A name that is an alias on one side
/// and has an item of its own on the other is noted.
fn by_symbols(twins: &mut Twins, original: &View<'_>, patched: &View<'_>) {
    let names = |view: &View<'_>| -> BTreeMap<String, Option<ItemId>> {
        let mut all = BTreeMap::new();
        for (id, item) in view.items.iter().enumerate().filter(|(_, item)| item.kind != ItemKind::Anonymous) {
            for name in item.symbols.iter().map(|&s| &view.object.symbols[s].name) {
                let settles_nothing = name.contains('.')
                    || names::is_module_entry(name)
                    || names::without_btf_counter(name).is_some()
                    || item.is_own_copy(view.object);
                if !settles_nothing {
                    // Two of one name settle nothing.
                    all.entry(name.clone()).and_modify(|known| *known = None).or_insert(Some(id));
                }
            }
        }
        all
    };
    let (old, new) = (names(original), names(patched));
    let shared = |name: &String| Some((name.clone(), (*old.get(name)?)?, (*new.get(name)?)?));
    let shared: Vec<(String, ItemId, ItemId)> = old.keys().filter_map(shared).collect();
    let (mut of_o, mut of_p) =
        (BTreeMap::<ItemId, BTreeSet<ItemId>>::new(), BTreeMap::<ItemId, BTreeSet<ItemId>>::new());
    for (_, o, p) in shared.iter().filter(|(_, o, p)| original.items[*o].kind == patched.items[*p].kind) {
        of_o.entry(*o).or_default().insert(*p);
        of_p.entry(*p).or_default().insert(*o);
    }
    for (name, o, p) in &shared {
        let is_split = of_o.get(o).is_some_and(|all| all.len() > 1);
        let is_merged = of_p.get(p).is_some_and(|all| all.len() > 1);
        if !is_split && !is_merged && of_o.contains_key(o) && of_o[o].contains(p) {
            twins.pair(*o, *p);
        }
        let (was, now) = (&original.items[*o].name, &patched.items[*p].name);
        if is_split && was != name {
            twins.aliases.push(Alias { name: name.clone(), of: was.clone(), split: true });
        }
        if is_merged && now != name {
            twins.aliases.push(Alias { name: name.clone(), of: now.clone(), split: false });
        }
    }
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
