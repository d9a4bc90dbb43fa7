// SPDX-License-Identifier: GPL-2.0-or-later
//! References near the border between two variables of one section: two views and their twins in, the datum that each
//! such reference counts from out.
//!
//! `&table[N]`, the place before the first element, and a member of the element after the last one are assembled as
//! section + offset, which is where another variable may be. The running kernel has the original's layout, so it does not
//! matter which variable such a reference counts from, as long as both have kept their distance. Where a new, removed or moved
//! variable is next to it, the instruction and the function's other references decide; what they do not decide is a [`Doubt`].

use super::correlate::Twins;
use super::view::{ItemId, ItemKind, Ref, View};
use crate::arch::Access;
use crate::elf::{Reloc, SecId, SymKind};
use crate::special;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A reference that may count from either of two variables, which are not at the same distance in the running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The function or datum with the reference, in the patched object.
    pub user: ItemId,
    /// The variables, by name.
    pub candidates: [String; 2],
}

/// What came of the references.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// What could not be settled.
    pub doubts: Vec<Doubt>,
    /// Functions and data of the patched object with references for which the instruction and the other references decided.
    pub weighed: BTreeSet<ItemId>,
}

/// No end of an array: a variable of so many bytes is a number or a pointer.
const SCALAR: u64 = 8;

/// A reference by way of the section's own symbol into a section with several items.
#[derive(Clone, Copy)]
struct Near {
    /// The function or datum; for an entry of a TOC the function that loads it.
    user: ItemId,
    /// The relocation's section and offset.
    place: (SecId, u64),
    /// Offset in its section of the field in the user.
    field: u64,
    /// The same in the user.
    within: u64,
    home: SecId,
    point: i64,
}

/// Settles the references of both views.
pub fn settle(original: &mut View<'_>, patched: &mut View<'_>, twins: &Twins) -> Settled {
    let (near_o, near_p) = (near(original), near(patched));
    let mut settled_o: HashMap<(SecId, u64), ItemId> = HashMap::new();
    for n in &near_o {
        // Between two variables, the one before counts.
        if let Some(&item) = candidates(original, n).first() {
            settled_o.insert(n.place, item);
        }
    }
    let mut of_user: BTreeMap<ItemId, Vec<Near>> = BTreeMap::new();
    near_o.iter().for_each(|n| of_user.entry(n.user).or_default().push(*n));
    let (mut settled_p, mut doubts, mut weighed) = (HashMap::new(), Vec::new(), BTreeSet::new());
    let mut by_user: BTreeMap<ItemId, Vec<Near>> = BTreeMap::new();
    near_p.iter().for_each(|n| by_user.entry(n.user).or_default().push(*n));
    for (user, all) in by_user {
        let none = Vec::new();
        let before = twins.of_patched[user].and_then(|o| of_user.get(&o)).unwrap_or(&none);
        let mut side =
            Side { original, patched, twins, user, all: &all, before, accesses: None, accesses_before: None };
        for n in &all {
            let choice = side.choose(n);
            if side.is_weighed(n) {
                weighed.insert(user);
            }
            match choice {
                Choice::Nothing => {}
                Choice::Item(item) | Choice::AsBefore(item, _)
                    if settled_p.get(&n.place).is_some_and(|&known| known != item) =>
                {
                    // Two functions load one entry of a TOC.
                    let candidates = [item, settled_p[&n.place]].map(|item| patched.items[item].name.clone());
                    doubts.push(Doubt { user, candidates });
                }
                Choice::Item(item) => _ = settled_p.insert(n.place, item),
                Choice::AsBefore(item, same) => {
                    settled_p.insert(n.place, item);
                    if let Some(o) = twins.of_patched[item] {
                        settled_o.insert(same, o);
                    }
                }
                Choice::Doubt(a, b) => {
                    settled_p.insert(n.place, a);
                    let candidates = [a, b].map(|item| patched.items[item].name.clone());
                    doubts.push(Doubt { user, candidates });
                }
            }
        }
    }
    original.settled = settled_o;
    patched.settled = settled_p;
    doubts.dedup();
    Settled { doubts, weighed }
}

/// All such references of a view, in order.
fn near(view: &View<'_>) -> Vec<Near> {
    let is_shared = |id: SecId| {
        let section = &view.object.sections[id];
        !section.is_text()
            && !section.is_strings()
            && special::row_of(&section.name).is_none()
            && !view.object.arch.is_toc(&section.name)
            && view.items_in(id).len() > 1
            && view.items_in(id).iter().any(|&item| view.items[item].kind == ItemKind::Data)
    };
    let shared: BTreeSet<SecId> = (1..view.object.sections.len()).filter(|&id| is_shared(id)).collect();
    if shared.is_empty() {
        return Vec::new();
    }
    let home = |r: &Reloc| {
        let symbol = &view.object.symbols[r.symbol];
        symbol.section().filter(|home| symbol.kind == SymKind::Section && shared.contains(home))
    };
    let mut loads: Option<HashMap<ItemId, Vec<(ItemId, u64)>>> = None;
    let mut found = Vec::new();
    for (id, item) in view.items.iter().enumerate() {
        for r in view.section(id).relocs_in(item.range.clone()) {
            let Some(home) = home(r) else { continue };
            let symbol = &view.object.symbols[r.symbol];
            let beyond = r.addend.wrapping_add(view.bias(item.section, item.range.clone(), r));
            let point = (symbol.value as i64).wrapping_add(beyond);
            let place = (item.section, r.offset);
            let users = match view.is_toc(id) {
                true => loads.get_or_insert_with(|| toc_loads(view)).get(&id).cloned().unwrap_or_default(),
                false => vec![(id, r.offset)],
            };
            found.extend(users.into_iter().map(|(user, field)| Near {
                user,
                place,
                field,
                within: field - view.items[user].range.start,
                home,
                point,
            }));
        }
    }
    found
}

/// Who loads each entry of a TOC: functions, and the offsets of the fields in their sections.
fn toc_loads(view: &View<'_>) -> HashMap<ItemId, Vec<(ItemId, u64)>> {
    let mut all: HashMap<ItemId, Vec<(ItemId, u64)>> = HashMap::new();
    for user in (0..view.items.len()).filter(|&id| view.items[id].kind == ItemKind::Function) {
        for (r, to) in view.references(user) {
            if let Ref::Item { item, .. } = to {
                if view.is_toc(item) {
                    all.entry(item).or_default().push((user, r.offset));
                }
            }
        }
    }
    all
}

/// The variables that a reference may count from: the one that it leads into first, else the one before; then those beside it,
/// as far as their own size reaches.
fn candidates(view: &View<'_>, near: &Near) -> Vec<ItemId> {
    let all = view.items_in(near.home);
    let range = |n: usize| &view.items[all[n]].range;
    let size = |n: usize| (range(n).end - range(n).start) as i64;
    let after = all.partition_point(|&item| view.items[item].range.start as i64 <= near.point);
    let mut found = Vec::new();
    let holds = |n: usize| (range(n).start as i64..range(n).end as i64).contains(&near.point);
    let inside = after.checked_sub(1).filter(|&n| holds(n));
    let before = match inside {
        Some(n) => n.checked_sub(1),
        None => after.checked_sub(1),
    };
    found.extend(inside.map(|n| all[n]));
    found.extend(before.filter(|&n| near.point < range(n).end as i64 + size(n)).map(|n| all[n]));
    found.extend(
        (after < all.len()).then_some(after).filter(|&n| near.point >= range(n).start as i64 - size(n)).map(|n| all[n]),
    );
    if found.is_empty() {
        found.extend(before.map(|n| all[n]));
    }
    found
}

enum Choice {
    /// Nothing to settle.
    Nothing,
    /// It counts from this item.
    Item(ItemId),
    /// The same as the original's reference at this place.
    AsBefore(ItemId, (SecId, u64)),
    /// The first or the second.
    Doubt(ItemId, ItemId),
}

/// The references of one function or datum, before and after.
struct Side<'a, 'o> {
    original: &'a View<'o>,
    patched: &'a View<'o>,
    twins: &'a Twins,
    user: ItemId,
    all: &'a [Near],
    before: &'a [Near],
    accesses: Option<HashMap<u64, Access>>,
    accesses_before: Option<HashMap<u64, Access>>,
}

impl Side<'_, '_> {
    /// The item that a reference counts from by the layout, and those that it may count from as well and that are at another
    /// distance in the running kernel.
    fn differing(&self, near: &Near) -> Option<(ItemId, Vec<ItemId>)> {
        let candidates = candidates(self.patched, near);
        let (&first, others) = candidates.split_first()?;
        let from = self.running(first, near.point);
        let differs = |other: &ItemId| from.is_none() || self.running(*other, near.point) != from;
        Some((first, others.iter().copied().filter(differs).collect()))
    }

    /// True if neither the layout nor a plain access says what a reference counts from.
    fn is_weighed(&mut self, near: &Near) -> bool {
        let differing = self.differing(near).is_some_and(|(_, all)| all.iter().any(|&other| self.may_be_walked(other)));
        differing && !matches!(self.access(near), Access::Direct { .. })
    }

    fn choose(&mut self, near: &Near) -> Choice {
        let Some((first, differing)) = self.differing(near) else { return Choice::Nothing };
        if differing.is_empty() {
            return Choice::Item(first);
        }
        let range = &self.patched.items[first].range;
        let is_inside = (range.start as i64..range.end as i64).contains(&near.point);
        let access = self.access(near);
        if is_inside && matches!(access, Access::Direct { .. }) {
            return Choice::Item(first);
        }
        let likely: Vec<ItemId> = differing.iter().copied().filter(|&other| self.may_be_walked(other)).collect();
        let [other] = likely[..] else {
            return match likely.first() {
                None if is_inside => Choice::Item(first),
                None => Choice::Doubt(first, differing[0]),
                Some(&other) => Choice::Doubt(first, other),
            };
        };
        match access {
            Access::Indexed { .. } if is_inside && near.point == range.start as i64 && self.size(first) > SCALAR => {
                Choice::Item(first)
            }
            Access::Compared => {
                let wanted = self.running(other, near.point);
                let same = self
                    .before
                    .iter()
                    .find(|n| n.within == near.within && Some(n.point) == wanted && self.is_aligned());
                if let Some(same) = same {
                    return Choice::AsBefore(other, same.place);
                }
                if !is_inside || !self.is_used(first, near) {
                    return Choice::Item(other);
                }
                // As many comparisons with this end as there were before.
                let now = self
                    .all
                    .iter()
                    .filter(|n| n.home == near.home && n.point == near.point)
                    .copied()
                    .collect::<Vec<_>>();
                let now = now.iter().filter(|n| self.access(n) == Access::Compared).count();
                let before = self.before.iter().filter(|n| Some(n.point) == wanted).copied().collect::<Vec<_>>();
                let before = before.iter().filter(|n| self.access_before(n) == Access::Compared).count();
                match now <= before {
                    true => Choice::Item(other),
                    false => Choice::Doubt(first, other),
                }
            }
            _ => Choice::Doubt(first, other),
        }
    }

    /// Where a place that counts from `item` is in the section of the running kernel, which has the original's layout.
    fn running(&self, item: ItemId, point: i64) -> Option<i64> {
        let old = &self.original.items[self.twins.of_patched[item]?];
        let new = &self.patched.items[item];
        Some(point - new.range.start as i64 + old.range.start as i64)
    }

    fn size(&self, item: ItemId) -> u64 {
        let range = &self.patched.items[item].range;
        range.end - range.start
    }

    /// True for what code may run to the end of; not for what the compiler or a macro makes for one place in the code.
    fn may_be_walked(&self, item: ItemId) -> bool {
        self.size(item) > SCALAR && !self.patched.items[item].is_own_copy(self.patched.object)
    }

    /// True if another reference of the user leads into an item: to another place than the one in question, or there by reading
    /// or writing the memory.
    fn is_used(&self, item: ItemId, but: &Near) -> bool {
        let it = &self.patched.items[item];
        let range = it.range.start as i64..it.range.end as i64;
        self.all.iter().any(|n| {
            let touches = matches!(self.access_of(n), Some(Access::Direct { .. } | Access::Indexed { .. }));
            n.home == it.section
                && range.contains(&n.point)
                && (n.point != but.point || n.place != but.place && touches)
        })
    }

    /// True if both have the same references at the same places.
    fn is_aligned(&self) -> bool {
        let places = |all: &[Near]| all.iter().map(|n| n.within).collect::<Vec<_>>();
        let Some(o) = self.twins.of_patched[self.user] else { return false };
        self.original.bytes(o).len() == self.patched.bytes(self.user).len() && places(self.all) == places(self.before)
    }

    fn access_of(&self, near: &Near) -> Option<Access> {
        self.accesses.as_ref()?.get(&near.field).copied()
    }

    fn access(&mut self, near: &Near) -> Access {
        let of = || accesses(self.patched, self.user);
        self.accesses.get_or_insert_with(of).get(&near.field).copied().unwrap_or(Access::Address)
    }

    fn access_before(&mut self, near: &Near) -> Access {
        let of = || accesses(self.original, near.user);
        self.accesses_before.get_or_insert_with(of).get(&near.field).copied().unwrap_or(Access::Address)
    }
}

fn accesses(view: &View<'_>, user: ItemId) -> HashMap<u64, Access> {
    match view.items[user].kind {
        ItemKind::Function => {
            view.object.arch.accesses(view.section(user), view.items[user].range.clone()).into_iter().collect()
        }
        _ => HashMap::new(),
    }
}
