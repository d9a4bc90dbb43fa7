// SPDX-License-Identifier: GPL-2.0-or-later
//! The diff engine: two objects of one unit in, a [`ChangeSet`] out: what changed, why, and whether it
//! can be live patched (`patchability`).

pub mod bounds;
pub mod callbacks;
mod clones;
pub mod compare;
pub mod constants;
pub mod correlate;
pub mod ignore;
pub mod inlined;
mod lines;
pub mod locals;
pub mod moved;
pub mod names;
pub mod patchability;
pub mod renamed;
pub mod sites;
pub mod storage;
pub mod view;
pub mod warnings;

use crate::elf::{Object, Reloc, SecId};
use crate::error::{ChangedMember, Refusal};
use crate::section_table::STATIC_CALL_SITE;
use crate::special::layout::Layouts;
use crate::special::{self, Entry, Fate};
use anyhow::{ensure, Result};
use bounds::Settled;
use compare::{Comparer, Difference};
use correlate::Twins;
use std::collections::{BTreeMap, HashMap, HashSet};
use view::{ItemId, ItemKind, Ref, View};

/// A function that the live patch has to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedFunction {
    /// The item in the patched view.
    pub item: ItemId,
    /// Its twin in the original view; None for a new function.
    pub original: Option<ItemId>,
    /// Why it is in.
    pub reasons: Vec<String>,
}

/// A datum that differs from its twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedData {
    /// The item in the patched view.
    pub item: ItemId,
    /// How it differs.
    pub difference: Difference,
    /// The member that differs, where debug information was asked (`types/member.rs`).
    pub member: Option<ChangedMember>,
}

/// What differs between two objects of one unit.
pub struct ChangeSet<'o> {
    /// The original.
    pub original: View<'o>,
    /// The patched.
    pub patched: View<'o>,
    /// Who is whose twin.
    pub twins: Twins,
    /// Changed and new functions, in the order of the patched object.
    pub functions: Vec<ChangedFunction>,
    /// Data that differ from their twins.
    pub data: Vec<ChangedData>,
    /// Sections with code that has no name, and that differs: reason by section.
    pub unnamed_code: BTreeMap<String, String>,
    /// Named data without a twin.
    pub new_data: Vec<ItemId>,
    /// Functions that did not change and that the running kernel has none of: code that uses one needs a copy.
    pub absent: HashSet<ItemId>,
    /// The patched object's special section entries.
    pub entries: Entries,
    /// What in the patched object, other than the special sections, refers to places inside functions.
    pub sites: HashMap<ItemId, Vec<sites::Site>>,
    /// Size of struct static_call_site, where it is known.
    pub static_call_site: Option<u64>,
    /// Twins that the running kernel keeps in another kind of memory than the patched code was compiled for.
    pub misplaced: Vec<Refusal>,
    /// Variables that are gone, each with a new one that may be the same.
    pub renamed: Vec<renamed::Renamed>,
    /// References near the borders between variables.
    pub settled: Settled,
    /// What was refused on the way: entry sizes, unknown sections.
    pub refusals: Vec<Refusal>,
    /// Changed functions whose code cannot be had: see [`moved`].
    pub lost: Vec<Refusal>,
    /// What kpatch's macros name.
    pub ignored: ignore::Ignored,
    /// Changes that are left out for that, in order.
    pub left_out: Vec<ignore::LeftOut>,
}

impl ChangeSet<'_> {
    /// Whether anything differs, or may differ.
    pub fn is_any(&self) -> bool {
        !(self.functions.is_empty()
            && self.data.is_empty()
            && self.unnamed_code.is_empty()
            && self.new_data.is_empty()
            && self.misplaced.is_empty()
            && self.twins.aliases.is_empty()
            && self.refusals.is_empty()
            && self.lost.is_empty())
    }

    /// True if debug information about static variables may settle what is ambiguous, or tell better what was guessed, or has to
    /// show the second reader which of several of one name is meant.
    pub fn needs_evidence(&self) -> bool {
        let several = locals::several(&self.original, &self.patched);
        let is_ambiguous = |to: Ref| match self.patched.through_toc(to) {
            Ref::Item { item, .. } => {
                self.twins.ambiguous.contains_key(&item)
                    || self.twins.guessed.contains(&item)
                    || several.contains(&item)
            }
            _ => false,
        };
        !(self.twins.ambiguous.is_empty() && self.twins.guessed.is_empty() && several.is_empty())
            && self
                .functions
                .iter()
                .any(|f| self.patched.references(f.item).into_iter().any(|(_, to)| is_ambiguous(to)))
    }

    /// The function that a reference points to, if it is a pointer to the function's entry: no call or jump, and no address
    /// inside of the function.
    pub fn points_to(&self, section: SecId, around: std::ops::Range<u64>, reloc: &Reloc) -> Option<ItemId> {
        let view = &self.patched;
        let home = &view.object.sections[section];
        if special::row_of(&home.name).is_some() || view.object.arch.is_branch(home, reloc) {
            return None;
        }
        let bias = view.bias(section, around.clone(), reloc);
        match view.reference(section, around.clone(), reloc) {
            Ref::Item { item, addend } if view.items[item].kind == ItemKind::Function => {
                let is_entry = addend + bias == 0 || view.object.arch.is_distance(home, around, reloc, addend);
                is_entry.then_some(item)
            }
            _ => None,
        }
    }

    /// The changed function that an item of the patched object is, if livepatch redirects the running one to it.
    pub fn replaced(&self, item: ItemId) -> Option<ItemId> {
        let original = self.functions.iter().find(|f| f.item == item)?.original?;
        names::cold_parent(&self.original.items[original].name).is_none().then_some(original)
    }

    /// True for a constant with addresses inside of a function that is replaced: the new code needs one of its own.
    pub fn goes_with_code(&self, item: ItemId) -> bool {
        !self.patched.section(item).is_writable()
            && self
                .functions
                .iter()
                .any(|f| self.sites.get(&f.item).is_some_and(|sites| sites.iter().any(|site| site.datum == Some(item))))
    }
}

/// Compares two objects of one unit, both compiled with a section for each function and datum.
///
/// # Errors
/// Objects of different architectures. What cannot be live patched is no error here: see
/// [`ChangeSet::refusals`] and `patchability`.
pub fn diff<'o>(original: &'o Object, patched: &'o Object, layouts: &Layouts) -> Result<ChangeSet<'o>> {
    diff_with(original, patched, layouts, None)
}

/// [`diff`] with what debug information says of static variables; [`ChangeSet::needs_evidence`] tells when that helps.
///
/// # Errors
/// As [`diff`].
pub fn diff_with<'o>(
    original: &'o Object,
    patched: &'o Object,
    layouts: &Layouts,
    evidence: Option<&locals::Evidence>,
) -> Result<ChangeSet<'o>> {
    ensure!(
        original.arch.machine() == patched.arch.machine(),
        "the objects are of different architectures: {} and {}",
        original.arch.name(),
        patched.arch.name()
    );
    let (mut vo, mut vp) = (View::new(original), View::new(patched));
    let mut refusals = Vec::new();
    let twins = correlate::correlate(&vo, &vp, evidence);
    let settled = bounds::settle(&mut vo, &mut vp, &twins);
    let entries_o = Entries::of(&vo, layouts, &mut refusals);
    refusals.clear();
    let entries_p = Entries::of(&vp, layouts, &mut refusals);
    let ignored = ignore::Ignored::of(&vp);
    let (mut functions, mut data, mut new_data, mut left_out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let unnamed_code;
    let (sites_o, sites_p) = (sites::sites(&vo), sites::sites(&vp));
    {
        let comparer = Comparer::new(&vo, &vp, &twins, [&entries_o, &entries_p], [&sites_o, &sites_p]);
        for (p, item) in vp.items.iter().enumerate() {
            let section = &vp.section(p).name;
            if ignore::is_macro_section(section) {
                continue;
            }
            let macro_name = match item.kind {
                ItemKind::Function => ignored.function(&item.name, section),
                _ => ignored.section(section),
            };
            if let Some(by) = macro_name {
                let differs = match (item.kind, twins.of_patched[p]) {
                    (ItemKind::Anonymous, _) => false,
                    (_, None) => true,
                    (ItemKind::Function, Some(o)) => !comparer.function_reasons(o, p).is_empty(),
                    (ItemKind::Data, Some(o)) => comparer.data_difference(o, p).is_some(),
                };
                left_out.extend(differs.then(|| ignore::LeftOut { name: item.name.clone(), by }));
                continue;
            }
            match (item.kind, twins.of_patched[p]) {
                (ItemKind::Function, Some(o)) => {
                    let reasons = comparer.function_reasons(o, p);
                    if !reasons.is_empty() {
                        functions.push(ChangedFunction { item: p, original: Some(o), reasons });
                    }
                }
                (ItemKind::Function, None) => {
                    functions.push(ChangedFunction { item: p, original: None, reasons: vec!["new function".into()] });
                }
                (ItemKind::Data, Some(o)) => {
                    if let Some(difference) = comparer.data_difference(o, p) {
                        data.push(ChangedData { item: p, difference, member: None });
                    }
                }
                (ItemKind::Data, None) => new_data.push(p),
                (ItemKind::Anonymous, _) => {}
            }
        }
        unnamed_code = unnamed_differences(&comparer, &ignored, &mut left_out);
    }
    let misplaced = storage::misplaced(&vo, &vp, &twins, &ignored);
    let renamed = renamed::find(&vo, &vp, &twins, [&entries_o, &entries_p]);
    add_families(&vp, &twins, &mut functions);
    // One whose other part is carried is carried too.
    left_out.retain(|one| !functions.iter().any(|f| vp.items[f.item].name == one.name));
    let static_call_site = layouts.size_of(&STATIC_CALL_SITE);
    Ok(ChangeSet {
        original: vo,
        patched: vp,
        twins,
        functions,
        data,
        unnamed_code,
        new_data,
        absent: HashSet::new(),
        entries: entries_p,
        sites: sites_p,
        static_call_site,
        misplaced,
        renamed,
        settled,
        refusals,
        lost: Vec::new(),
        ignored,
        left_out,
    })
}

/// Compares code without a name, section by section and in order.
fn unnamed_differences(
    comparer: &Comparer<'_, '_>,
    ignored: &ignore::Ignored,
    left_out: &mut Vec<ignore::LeftOut>,
) -> BTreeMap<String, String> {
    let pieces = |view: &View<'_>| -> BTreeMap<String, Vec<ItemId>> {
        let mut all: BTreeMap<String, Vec<ItemId>> = BTreeMap::new();
        for (id, item) in view.items.iter().enumerate().filter(|(_, i)| i.kind == ItemKind::Anonymous) {
            let section = view.section(id);
            if section.is_text() {
                all.entry(item.name.clone()).or_default().push(id);
            }
        }
        all
    };
    let (old, new) = (pieces(comparer.original), pieces(comparer.patched));
    let mut found = BTreeMap::new();
    for name in old.keys().chain(new.keys()) {
        let (o, p) = (old.get(name).map_or(&[][..], Vec::as_slice), new.get(name).map_or(&[][..], Vec::as_slice));
        let why = match o.len() == p.len() {
            true => o.iter().zip(p).find_map(|(&o, &p)| comparer.data_difference(o, p)).map(|d| d.why),
            false => Some(format!("{} pieces instead of {}", p.len(), o.len())),
        };
        match (why, ignored.section(name)) {
            (Some(why), None) => _ = found.insert(name.clone(), why),
            (Some(_), Some(by)) => left_out.push(ignore::LeftOut { name: name.clone(), by }),
            (None, _) => {}
        }
    }
    found
}

/// A function and its `.cold` part go together: the one jumps into the other.
fn add_families(patched: &View<'_>, twins: &Twins, functions: &mut Vec<ChangedFunction>) {
    let by_name: HashMap<&str, ItemId> = patched
        .items
        .iter()
        .enumerate()
        .filter(|(_, i)| i.kind == ItemKind::Function)
        .flat_map(|(id, i)| i.symbols.iter().map(move |&s| (patched.object.symbols[s].name.as_str(), id)))
        .collect();
    let families: Vec<(ItemId, ItemId)> =
        by_name.iter().filter_map(|(name, &cold)| Some((*by_name.get(names::cold_parent(name)?)?, cold))).collect();
    let mut add = |item: ItemId, with: ItemId| {
        if functions.iter().any(|f| f.item == with) && !functions.iter().any(|f| f.item == item) {
            let reason = format!("belongs to {}", patched.items[with].name);
            functions.push(ChangedFunction { item, original: twins.of_patched[item], reasons: vec![reason] });
        }
    };
    for &(parent, cold) in &families {
        add(parent, cold);
        add(cold, parent);
    }
    functions.sort_by_key(|f| f.item);
}

/// The special section entries of an object.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// Entries that are extracted with an item, by the item whose code they name.
    pub by_item: HashMap<ItemId, Vec<Entry>>,
    /// All entries in order, by section.
    pub all: BTreeMap<SecId, Vec<Entry>>,
    /// What a person should know about how the sections were cut.
    pub notes: Vec<String>,
}

impl Entries {
    /// Cuts all special sections and files their entries under the items whose code they name.
    fn of(view: &View<'_>, layouts: &Layouts, refusals: &mut Vec<Refusal>) -> Self {
        let mut entries = Self::default();
        for (id, section) in view.object.sections.iter().enumerate() {
            let Some(row) = special::row_of(&section.name).filter(|r| matches!(r.fate, Fate::Keep | Fate::Referenced))
            else {
                continue;
            };
            match special::entries(view.object, id, layouts, &mut entries.notes) {
                Ok(found) => {
                    for entry in found.iter().filter(|_| row.fate == Fate::Keep) {
                        let Some(code) = row.code_of(section, entry) else { continue };
                        if let Ref::Item { item, .. } = view.reference(id, entry.range.clone(), code) {
                            entries.by_item.entry(item).or_default().push(entry.clone());
                        }
                    }
                    entries.all.insert(id, found);
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        entries
    }

    /// The entry that holds this place.
    pub fn at(&self, section: SecId, offset: u64) -> Option<&Entry> {
        let all = self.all.get(&section)?;
        let after = all.partition_point(|e| e.range.start <= offset);
        all.get(after.checked_sub(1)?).filter(|e| e.range.contains(&offset))
    }
}
