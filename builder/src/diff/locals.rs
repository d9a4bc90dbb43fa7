// SPDX-License-Identifier: GPL-2.0-or-later
//! Which static variable of the patched object continues which one of the original: two views, the twins that names have
//! settled, and what debug information says in, twins out.
//!
//! Compilers number static variables of functions (`count.12`), and the numbers move with every declaration. To take one for
//! another gives a function the value of an unrelated variable, so what is not certain is [`Twins::ambiguous`]. Debug
//! information names the function and the line of the declaration, and the source's text says which line that was.
//! Without it, a function whose code has the same bytes uses its variables at the same places; in one that changed, a
//! name that it uses for one variable before and after is taken for that variable, if there is no debug information to
//! ask: the two may be those of two inline functions.

use super::correlate::Twins;
use super::names;
use super::view::{ItemId, ItemKind, Ref, View};
use crate::elf::strings::string_at;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where a static variable is declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Declared {
    /// The function around it.
    pub function: String,
    /// File and line.
    pub file: String,
    /// Line of the original's text, counted from 1; None where it is not known which line that is.
    pub line: Option<u64>,
}

/// Where the static variables of an object are declared, by their symbols.
pub type Statics = HashMap<String, Declared>;

/// What debug information says of both objects.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Of the original.
    pub original: Statics,
    /// Of the patched, with the lines that they have in the original.
    pub patched: Statics,
}

/// Pairs them.
pub fn pair(twins: &mut Twins, original: &View<'_>, patched: &View<'_>, evidence: Option<&Evidence>) {
    let (o, p) = (Numbered::of(original), Numbered::of(patched));
    if o.base.is_empty() || p.base.is_empty() {
        return;
    }
    same_code(twins, original, patched, &o, &p);
    let known = |statics: &Statics, view: &View<'_>, of: &Numbered| {
        of.base.keys().all(|&id| statics.contains_key(&view.items[id].name))
    };
    match evidence.filter(|e| known(&e.original, original, &o) && known(&e.patched, patched, &p)) {
        Some(evidence) => by_declaration(twins, original, patched, &o, &p, evidence),
        None => by_users(twins, original, patched, &o, &p),
    }
    together(twins, &p);
}

/// Variables of functions that the fix makes variables of the file, and the reverse: whether one continues the other cannot be
/// told. Declarations do not help, as nothing links the two lines.
pub fn rescoped(twins: &mut Twins, original: &View<'_>, patched: &View<'_>) {
    let lone = |view: &View<'_>, known: &[Option<ItemId>]| -> Vec<(ItemId, String, bool)> {
        let is_lone = |id: &ItemId| {
            let item = &view.items[*id];
            let is_variable = item.kind == ItemKind::Data && view.section(*id).is_writable();
            is_variable && known[*id].is_none() && !item.is_own_copy(view.object)
        };
        let all = (0..view.items.len()).filter(is_lone);
        all.map(|id| {
            let name = &view.items[id].name;
            (id, names::base(name).to_string(), names::base(name) != name)
        })
        .collect()
    };
    let gone = lone(original, &twins.of_original);
    for (id, base, is_local) in lone(patched, &twins.of_patched) {
        let is_it = |(o, of, was_local): &(ItemId, String, bool)| {
            *of == base && *was_local != is_local && size(original, *o) == size(patched, id)
        };
        if gone.iter().any(is_it) {
            twins.ambiguous.insert(id, base);
        }
    }
}

/// The static variables of the patched object that have a namesake, there or in the original, and may continue one.
pub fn several(original: &View<'_>, patched: &View<'_>) -> BTreeSet<ItemId> {
    let (o, p) = (numbered(original), numbered(patched));
    let count = |of: &BTreeMap<ItemId, String>, base: &String| of.values().filter(|b| *b == base).count();
    let is_one = |base: &String| matches!((count(&o, base), count(&p, base)), (1.., 2..) | (2.., _));
    p.iter().filter(|(_, base)| is_one(base)).map(|(&id, _)| id).collect()
}

/// Static variables with a number of the compiler's, by their names without it.
fn numbered(view: &View<'_>) -> BTreeMap<ItemId, String> {
    (0..view.items.len())
        .filter(|&id| view.items[id].kind == ItemKind::Data && !view.items[id].is_own_copy(view.object))
        .filter_map(|id| names::without_number(&view.items[id].name).map(|base| (id, base.to_string())))
        .collect()
}

/// The static variables of one object that are told apart by numbers alone.
struct Numbered {
    /// The names without the numbers.
    base: BTreeMap<ItemId, String>,
    /// Who refers to them, in order of first use: item and variables by name.
    uses: BTreeMap<ItemId, BTreeMap<String, Vec<ItemId>>>,
}

impl Numbered {
    fn of(view: &View<'_>) -> Self {
        let base = numbered(view);
        let mut uses: BTreeMap<ItemId, BTreeMap<String, Vec<ItemId>>> = BTreeMap::new();
        if base.is_empty() {
            return Self { base, uses };
        }
        for user in (0..view.items.len()).filter(|&id| !view.is_toc(id)) {
            for (_, reference) in view.references(user) {
                let Ref::Item { item, .. } = view.through_toc(reference) else { continue };
                if let Some(base) = base.get(&item) {
                    let all = uses.entry(user).or_default().entry(base.clone()).or_default();
                    if !all.contains(&item) {
                        all.push(item);
                    }
                }
            }
        }
        Self { base, uses }
    }

    /// The functions, less what compilers add to their names, that use a variable.
    fn users(&self, view: &View<'_>, variable: ItemId) -> BTreeSet<String> {
        let use_it = |uses: &BTreeMap<String, Vec<ItemId>>| uses.values().any(|all| all.contains(&variable));
        let users = self.uses.iter().filter(|(_, uses)| use_it(uses)).map(|(&user, _)| user);
        users.map(|user| function_of(&view.items[user].name).to_string()).collect()
    }
}

/// The function that a clone or a part is of.
fn function_of(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn size(view: &View<'_>, id: ItemId) -> u64 {
    view.items[id].range.end - view.items[id].range.start
}

/// True if two data can be one: of the same size, in sections of the same kind.
fn fit(original: &View<'_>, patched: &View<'_>, o: ItemId, p: ItemId) -> bool {
    let kind = |section: &str| section.split('.').nth(1).unwrap_or_default().to_string();
    size(original, o) == size(patched, p) && kind(&original.section(o).name) == kind(&patched.section(p).name)
}

/// Code of the same bytes uses its variables in the same order.
fn same_code(twins: &mut Twins, original: &View<'_>, patched: &View<'_>, o: &Numbered, p: &Numbered) {
    for (&user, uses) in &o.uses {
        let Some(twin) = twins.of_original[user] else { continue };
        if original.bytes(user) != patched.bytes(twin)
            || !same_references(twins, original, patched, (user, twin), (o, p))
        {
            continue;
        }
        for (base, all_o) in uses {
            let none = Vec::new();
            let all_p = p.uses.get(&twin).and_then(|uses| uses.get(base)).unwrap_or(&none);
            if all_o.len() == all_p.len() {
                for (&a, &b) in all_o.iter().zip(all_p).filter(|(&a, &b)| fit(original, patched, a, b)) {
                    twins.pair(a, b);
                }
            }
        }
    }
}

/// True if code of the same bytes also calls and uses the same, less the variables in question: otherwise two blocks may have
/// changed places.
fn same_references(
    twins: &Twins,
    original: &View<'_>,
    patched: &View<'_>,
    (user, twin): (ItemId, ItemId),
    (o, p): (&Numbered, &Numbered),
) -> bool {
    let (before, after) = (original.references(user), patched.references(twin));
    let same = |a: Ref, b: Ref| match (original.through_toc(a), patched.through_toc(b)) {
        (Ref::External { symbol: a, addend: x }, Ref::External { symbol: b, addend: y }) => {
            x == y && original.object.symbol_name(a) == patched.object.symbol_name(b)
        }
        (Ref::Item { item: a, addend: x }, Ref::Item { item: b, addend: y }) => {
            let both = o.base.get(&a).zip(p.base.get(&b)).map(|(a, b)| a == b);
            x == y
                && match both {
                    Some(same_base) => same_base,
                    None if twins.of_original[a].is_some() || twins.of_patched[b].is_some() => {
                        twins.of_original[a] == Some(b)
                    }
                    // Constants, and what each place in the code has for itself.
                    None => {
                        let kind = original.items[a].kind;
                        kind == patched.items[b].kind && kind != ItemKind::Function
                    }
                }
        }
        (Ref::String { section: a, start: x, .. }, Ref::String { section: b, start: y, .. }) => {
            string_at(&original.object.sections[a], x) == string_at(&patched.object.sections[b], y)
        }
        (a, b) => std::mem::discriminant(&a) == std::mem::discriminant(&b),
    };
    before.len() == after.len() && before.into_iter().zip(after).all(|((_, a), (_, b))| same(a, b))
}

type Group = (Vec<ItemId>, Vec<ItemId>);

/// What is not paired yet, by the name and what `key` says of each.
fn left<K: Ord>(
    twins: &Twins,
    o: &Numbered,
    p: &Numbered,
    key: impl Fn(bool, ItemId) -> K,
) -> BTreeMap<(String, K), Group> {
    let mut groups: BTreeMap<(String, K), Group> = BTreeMap::new();
    for (&id, base) in o.base.iter().filter(|(&id, _)| twins.of_original[id].is_none()) {
        groups.entry((base.clone(), key(false, id))).or_default().0.push(id);
    }
    for (&id, base) in p.base.iter().filter(|(&id, _)| twins.of_patched[id].is_none()) {
        groups.entry((base.clone(), key(true, id))).or_default().1.push(id);
    }
    groups
}

fn by_declaration(
    twins: &mut Twins,
    original: &View<'_>,
    patched: &View<'_>,
    o: &Numbered,
    p: &Numbered,
    evidence: &Evidence,
) {
    let declared = |is_patched: bool, id: ItemId| match is_patched {
        true => &evidence.patched[&patched.items[id].name],
        false => &evidence.original[&original.items[id].name],
    };
    let place = |is_patched, id| {
        let d = declared(is_patched, id);
        d.line.map(|line| (d.file.clone(), line))
    };
    for ((_, place), (a, b)) in left(twins, o, p, place) {
        if let (Some(_), [a], [b]) = (place, a.as_slice(), b.as_slice()) {
            if size(original, *a) == size(patched, *b) {
                twins.pair(*a, *b);
            }
        }
    }
    // Of what is left, the only one of its name in a function (`types/` compares what it holds); that of a function which is gone may have moved along
    // with its code.
    let functions = |view: &View<'_>| -> BTreeSet<String> {
        let all = view.items.iter().filter(|item| item.kind == ItemKind::Function);
        all.map(|item| function_of(&item.name).to_string()).collect()
    };
    let (old, new) = (functions(original), functions(patched));
    let mut homeless: BTreeMap<String, Vec<ItemId>> = BTreeMap::new();
    let groups = left(twins, o, p, |is_patched, id| declared(is_patched, id).function.clone());
    for ((base, function), (a, _)) in &groups {
        // Its function is inlined everywhere, or gone.
        if old.contains(function) && !new.contains(function) {
            homeless.entry(base.clone()).or_default().extend(a);
        }
    }
    for ((base, function), (a, b)) in groups {
        match (a.as_slice(), b.as_slice()) {
            (_, []) => {}
            ([], all) => {
                let moved = |&&id: &&ItemId| {
                    let of = homeless.get(&base).into_iter().flatten();
                    !old.contains(&function) && of.into_iter().any(|&a| size(original, a) == size(patched, id))
                };
                twins.ambiguous.extend(all.iter().filter(moved).map(|&id| (id, base.clone())));
            }
            ([a], [b]) if size(original, *a) == size(patched, *b) => _ = twins.pair(*a, *b),
            (_, all) => twins.ambiguous.extend(all.iter().map(|&id| (id, base.clone()))),
        }
    }
}

fn by_users(twins: &mut Twins, original: &View<'_>, patched: &View<'_>, o: &Numbered, p: &Numbered) {
    // A function that uses one variable of a name before, and one after.
    let single = |all: &[ItemId]| match all {
        [one] => Some(*one),
        _ => None,
    };
    for (&user, uses) in &o.uses {
        let Some(used) = twins.of_original[user].and_then(|twin| p.uses.get(&twin)) else { continue };
        for (base, all) in uses {
            let pair = single(all).zip(used.get(base).and_then(|all| single(all)));
            let Some((a, b)) = pair.filter(|&(a, b)| fit(original, patched, a, b)) else { continue };
            // Others have to agree.
            if o.users(original, a) == p.users(patched, b) && twins.pair(a, b) {
                twins.guessed.insert(b);
            }
        }
    }
    for ((base, ()), (a, b)) in left(twins, o, p, |_, _| ()) {
        let unused =
            |of: &Numbered, view: &View<'_>, all: &[ItemId]| all.iter().all(|&id| of.users(view, id).is_empty());
        match (a.as_slice(), b.as_slice()) {
            ([], _) | (_, []) => {}
            // The same users, in clones and parts that compilers make as they like.
            ([a], [b]) if size(original, *a) == size(patched, *b) && o.users(original, *a) == p.users(patched, *b) => {
                twins.pair(*a, *b);
                twins.guessed.insert(*b);
            }
            // What nothing refers to, in order (__tracepoint_str of events that are switched off).
            (a, b) if a.len() == b.len() && unused(o, original, a) && unused(p, patched, b) => {
                for (&a, &b) in a.iter().zip(b) {
                    twins.pair(a, b);
                }
            }
            (_, b) => twins.ambiguous.extend(b.iter().map(|&id| (id, base.clone()))),
        }
    }
}

/// Variables that one macro declares for one place (`___done` and `___once_key` of DO_ONCE) are the running kernel's all, or
/// none of them is.
fn together(twins: &mut Twins, p: &Numbered) {
    const FAMILY: [&str; 2] = ["___done", "___once_key"];
    for uses in p.uses.values() {
        let of = |base: &str| uses.get(base).into_iter().flatten().copied();
        let continued = |base: &str| of(base).filter(|&id| twins.of_patched[id].is_some()).count();
        if continued(FAMILY[0]) != continued(FAMILY[1]) {
            let all: Vec<ItemId> = FAMILY.into_iter().flat_map(of).collect();
            twins.ambiguous.extend(all.into_iter().map(|id| (id, p.base[&id].clone())));
        }
    }
}
