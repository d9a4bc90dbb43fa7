// SPDX-License-Identifier: GPL-2.0-or-later
//! Where the code sections of a unit are: names of its functions and what is shipped in, places out; and which
//! places are not trusted, because their only evidence is functions with non-unique names.

use super::tables::Tables;
use super::{Learned, Proof, Run, Verdict};
use crate::arch::Field;
use crate::elf::{Bind, Object, SecId, SymId};
use crate::image::shipped::{Leads, Piece, Shipped, Spot};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A place for a section: how many of its functions agree there in their bytes, how many by name, where.
type Candidate = (usize, usize, Spot);

static NO_SITES: std::sync::LazyLock<HashMap<SecId, Vec<u64>>> = std::sync::LazyLock::new(HashMap::new);
static NO_TABLES: std::sync::LazyLock<Tables> = std::sync::LazyLock::new(Tables::default);
static NO_DOUBTS: BTreeMap<SecId, String> = BTreeMap::new();

impl<'a> Run<'a> {
    pub(super) fn new(object: &'a Object, shipped: &'a dyn Shipped) -> Self {
        Self {
            object,
            shipped,
            sites: &NO_SITES,
            tables: &NO_TABLES,
            doubted: &NO_DOUBTS,
            proof: Proof::default(),
            unplaced: HashMap::new(),
            learned: Learned::default(),
            links: BTreeSet::new(),
        }
    }

    /// Finds for each code section the one place at which most of its functions are by name and the bytes of the
    /// functions agree best. With `sure`, only where a function without namesakes agrees: small ones that are
    /// in many units, all alike, are better placed by the references of others. Without, places that are alike in
    /// their bytes are told apart by their references.
    pub(super) fn place_by_functions(&mut self, sure: bool) {
        let mut votes: BTreeMap<SecId, HashMap<Spot, Vec<SymId>>> = BTreeMap::new();
        for (id, _) in self.functions() {
            let symbol = &self.object.symbols[id];
            let Some(section) = symbol.section() else { continue };
            for spot in self.shipped.functions(&symbol.name) {
                votes.entry(section).or_default().entry(spot.moved(-(symbol.value as i64))).or_default().push(id);
            }
        }
        for (section, places) in votes {
            if self.proof.sections.contains_key(&section) || self.doubted.contains_key(&section) {
                continue;
            }
            let mut best: Vec<Candidate> = places
                .iter()
                .map(|(&base, ids)| {
                    let same = ids.iter().filter(|&&id| self.agrees(id, base)).count();
                    (same, ids.len(), base)
                })
                .collect();
            best.sort_by_key(|&(same, named, base)| (std::cmp::Reverse((same, named)), base));
            let (most_same, most_named, _) = best[0];
            best.retain(|&(same, named, _)| (same, named) == (most_same, most_named));
            let found = match best.as_slice() {
                [(_, _, base)] => Some(*base),
                _ if sure || most_same == 0 => None,
                alike => self.by_references(section, alike),
            };
            let unique = |&id: &SymId| self.is_unique(id);
            let Some(base) = found else { continue };
            if !sure || places[&base].iter().any(|id| unique(id) && self.agrees(*id, base)) {
                self.proof.sections.insert(section, base);
            }
        }
    }

    /// Of places that are alike in their bytes the one at which the references agree too.
    fn by_references(&mut self, section: SecId, alike: &[Candidate]) -> Option<Spot> {
        let inside: Vec<_> = self
            .functions()
            .into_iter()
            .filter(|(id, _)| self.object.symbols[*id].section() == Some(section))
            .collect();
        let mut best: Vec<(usize, Spot)> = Vec::new();
        for &(_, _, base) in alike {
            let (proof, links) = (self.proof.clone(), self.links.clone());
            self.proof.sections.insert(section, base);
            let mut proven = 0;
            for (id, range) in &inside {
                self.compare(*id, range.clone());
                let verdict = self.proof.functions.get(&self.object.symbols[*id].name);
                proven += usize::from(matches!(verdict, Some(Verdict::Proven(_))));
            }
            (self.proof, self.links) = (proof, links);
            best.push((proven, base));
        }
        let most = best.iter().map(|b| b.0).max().filter(|&most| most > 0)?;
        best.retain(|b| b.0 == most);
        if let [(_, base)] = best[..] {
            return Some(base);
        }
        let places: Vec<String> = best.iter().map(|b| self.shipped.describe(b.1)).collect();
        self.unplaced.insert(
            section,
            format!(
                "{} functions of this name in the shipped kernel are alike in bytes and references (at {}): which of them \
                 comes from this file cannot be told",
                places.len(),
                places.join(", ")
            ),
        );
        None
    }

    /// Follows the pointers in the unit's own data, where it is known where those are (tables of functions, mostly), to
    /// other sections of the unit. True where that gave one of them its place.
    pub(super) fn follow_pointers(&mut self) -> bool {
        let placed: BTreeMap<SecId, Spot> = self.proof.sections.iter().map(|(&id, &spot)| (id, spot)).collect();
        let before = self.proof.sections.len();
        for (id, spot) in placed {
            let section = &self.object.sections[id];
            if section.is_text() || section.data.is_empty() || self.object.arch.is_toc(&section.name) {
                continue;
            }
            for r in section.relocs.iter().filter(|r| r.kind == self.object.arch.pointer_reloc()) {
                let symbol = &self.object.symbols[r.symbol];
                let Some(home) = symbol.section().filter(|&home| home != id && !self.doubted.contains_key(&home))
                else {
                    continue;
                };
                let target = &self.object.sections[home];
                if target.is_strings() || target.is_constants() || symbol.bind == Bind::Weak {
                    continue;
                }
                let piece = Piece {
                    object: self.object,
                    section: id,
                    range: r.offset..r.offset + 8,
                    spot: spot.moved(r.offset as i64),
                };
                let field = Field::Absolute { bytes: 8 };
                let Leads::Place(place) = self.shipped.follow(&piece, r, field) else { continue };
                let base = place.moved(-(symbol.value as i64));
                match self.proof.sections.get(&home) {
                    Some(&known) if known != base => {}
                    Some(_) => _ = self.links.insert((id, home)),
                    None if self.misplaced(home, base).is_none() => {
                        self.proof.sections.insert(home, base);
                        self.links.insert((id, home));
                    }
                    None => {}
                }
            }
        }
        self.proof.sections.len() > before
    }

    /// True when the function's bytes, references aside, are at `base`.
    fn agrees(&self, id: SymId, base: Spot) -> bool {
        let symbol = &self.object.symbols[id];
        let Some(section) = symbol.section() else { return false };
        let range = symbol.value..symbol.value + symbol.size;
        let piece = Piece { object: self.object, section, spot: base.moved(range.start as i64), range };
        self.shipped.code(&piece).is_some_and(|bytes| {
            let off = self.switched_off(&piece, &bytes);
            self.first_difference(&piece, &bytes, &off).is_none()
        })
    }

    /// True when what is shipped has one function of this name.
    fn is_unique(&self, id: SymId) -> bool {
        self.shipped.functions(&self.object.symbols[id].name).len() == 1
    }

    /// At how many places all these functions are by their names, as in their section.
    fn bases_of(&self, places: &BTreeMap<u64, Vec<SymId>>) -> usize {
        let bases = |(at, ids): (&u64, &Vec<SymId>)| -> BTreeSet<Spot> {
            let spots = ids.iter().flat_map(|&id| self.shipped.functions(&self.object.symbols[id].name));
            spots.map(|spot| spot.moved(-(*at as i64))).collect()
        };
        let mut all = places.iter().map(bases);
        let first = all.next().unwrap_or_default();
        all.fold(first, |both, more| &both & &more).len()
    }

    pub(super) fn why_unplaced(&self, section: SecId) -> String {
        let known = self.doubted.get(&section).or_else(|| self.unplaced.get(&section));
        known.cloned().unwrap_or_else(|| "no function of this name and these bytes is in the shipped kernel".into())
    }

    /// Placed sections with proven code whose only evidence is non-unique names: functions of names that several have, also in the same
    /// order, to which nothing else of the unit refers and which refer to nothing else of it. Another file's functions may be
    /// the same to the byte, while this file's differ.
    pub(super) fn in_doubt(&self) -> BTreeMap<SecId, String> {
        let mut proven: BTreeMap<SecId, BTreeMap<u64, Vec<SymId>>> = BTreeMap::new();
        for (id, range) in self.functions() {
            let symbol = &self.object.symbols[id];
            if let (Some(section), Some(Verdict::Proven(_))) =
                (symbol.section(), self.proof.functions.get(&symbol.name))
            {
                proven.entry(section).or_default().entry(range.start).or_default().push(id);
            }
        }
        let is_sure = |places: &BTreeMap<u64, Vec<SymId>>| {
            let unique = || places.values().flatten().any(|&id| self.is_unique(id));
            // Several functions tell their section where they have their names in this order in one place alone.
            unique() || places.len() > 1 && self.bases_of(places) == 1
        };
        let mut sure: BTreeSet<SecId> = proven.iter().filter(|(_, p)| is_sure(p)).map(|(&s, _)| s).collect();
        loop {
            let joins = |&(a, b): &(SecId, SecId)| match (sure.contains(&a), sure.contains(&b)) {
                (true, false) => Some(b),
                (false, true) => Some(a),
                _ => None,
            };
            let more: Vec<SecId> = self.links.iter().filter_map(joins).collect();
            if more.is_empty() {
                break;
            }
            sure.extend(more);
        }
        let why = |places: &BTreeMap<u64, Vec<SymId>>| {
            let id = places.values().flatten().next().copied().unwrap_or_default();
            let name = &self.object.symbols[id].name;
            format!(
                "the shipped kernel has {} functions {name}; one has these bytes, but nothing else of this file shows \
                 that it is this file's",
                self.shipped.functions(name).len()
            )
        };
        proven.iter().filter(|(s, _)| !sure.contains(s)).map(|(&s, places)| (s, why(places))).collect()
    }
}
