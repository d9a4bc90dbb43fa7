// SPDX-License-Identifier: GPL-2.0-or-later
//! Says whether two twins are the same: bytes beside the relocated fields, then what they refer to.

use super::correlate::Twins;
use super::sites::Site;
use super::view::{ItemId, ItemKind, Ref, View};
use super::{constants, lines, Entries};
use crate::elf::strings::{string_at, string_text};
use crate::elf::{Reloc, SecId};
use crate::special::known::{class_of, Class};
use crate::special::{row_of, Entry, Fate};
use std::cell::RefCell;
use std::collections::HashMap;

/// Compares items of two correlated views.
pub struct Comparer<'a, 'o> {
    /// The original.
    pub original: &'a View<'o>,
    /// The patched.
    pub patched: &'a View<'o>,
    /// Their twins.
    pub twins: &'a Twins,
    /// Special section entries by the item whose code they name: original, patched.
    pub entries: [&'a Entries; 2],
    /// What else refers to places in functions: original, patched.
    pub sites: [&'a HashMap<ItemId, Vec<Site>>; 2],
    memo: RefCell<HashMap<(ItemId, ItemId), bool>>,
    moves: lines::Moves,
}

/// How two pieces differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In words.
    pub why: String,
    /// The first byte that differs, where both are of one size.
    pub at: Option<u64>,
}

impl Difference {
    fn of_all(why: String) -> Option<Self> {
        Some(Self { why, at: None })
    }

    fn at(at: u64, why: String) -> Option<Self> {
        Some(Self { why, at: Some(at) })
    }
}

/// A piece of a section: of an item, or of a special section entry.
struct Piece<'a> {
    section: SecId,
    start: u64,
    bytes: &'a [u8],
    size: u64,
    relocs: Vec<Reloc>,
}

impl Piece<'_> {
    fn side<'s, 'o>(&'s self, view: &'s View<'o>) -> lines::Side<'s, 'o> {
        let range = self.start..self.start + self.size;
        lines::Side { view, section: self.section, range, relocs: &self.relocs }
    }
}

impl<'a, 'o> Comparer<'a, 'o> {
    /// Makes a comparer.
    pub fn new(
        original: &'a View<'o>,
        patched: &'a View<'o>,
        twins: &'a Twins,
        entries: [&'a Entries; 2],
        sites: [&'a HashMap<ItemId, Vec<Site>>; 2],
    ) -> Self {
        Self { original, patched, twins, entries, sites, memo: RefCell::default(), moves: lines::Moves::default() }
    }

    /// Why a function differs from its twin; empty where it does not.
    pub fn function_reasons(&self, o: ItemId, p: ItemId) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(why) = self.piece_difference(&item_piece(self.original, o), &item_piece(self.patched, p)) {
            reasons.push(why.why);
        }
        let none = Vec::new();
        let (eo, ep) =
            (self.entries[0].by_item.get(&o).unwrap_or(&none), self.entries[1].by_item.get(&p).unwrap_or(&none));
        let by_section = |view: &View<'_>, list: &[Entry]| {
            let mut map: HashMap<String, Vec<Entry>> = HashMap::new();
            for entry in list {
                map.entry(view.object.sections[entry.section].name.clone()).or_default().push(entry.clone());
            }
            map
        };
        let (so, mut sp) = (by_section(self.original, eo), by_section(self.patched, ep));
        let mut names: Vec<String> = so.keys().chain(sp.keys()).cloned().collect();
        names.sort();
        names.dedup();
        for name in names {
            if row_of(&name).is_none_or(|row| row.fate != Fate::Keep) {
                continue;
            }
            let (a, b) = (so.get(&name).cloned().unwrap_or_default(), sp.remove(&name).unwrap_or_default());
            if a.len() != b.len() {
                reasons.push(format!(
                    "{name}: {} {} instead of {}",
                    b.len(),
                    if b.len() == 1 { "entry" } else { "entries" },
                    a.len()
                ));
                continue;
            }
            for (x, y) in a.iter().zip(&b) {
                let (x, y) = (entry_piece(self.original, x), entry_piece(self.patched, y));
                if let Some(why) = self.piece_difference(&x, &y) {
                    reasons.push(format!("{name}: {}", why.why));
                    break;
                }
            }
        }
        // The bytes there may be the same whatever the kernel writes over them.
        let at_boot = |view: &View<'_>, sites: Option<&Vec<Site>>| -> Vec<(String, i64)> {
            let all = sites.into_iter().flatten().map(|s| (view.object.sections[s.section].name.clone(), s.offset));
            let mut all: Vec<_> = all.filter(|(n, _)| matches!(class_of(n), Some(Class::AtBoot(_)) | None)).collect();
            all.sort();
            all
        };
        let (so, sp) = (at_boot(self.original, self.sites[0].get(&o)), at_boot(self.patched, self.sites[1].get(&p)));
        let other = so.iter().find(|s| !sp.contains(s)).or_else(|| sp.iter().find(|s| !so.contains(s)));
        if let Some((name, _)) = other.filter(|_| reasons.is_empty()) {
            reasons.push(format!("{name}: other places in the code"));
        }
        reasons
    }

    /// Why a datum differs from its twin; None where it does not.
    pub fn data_difference(&self, o: ItemId, p: ItemId) -> Option<Difference> {
        self.piece_difference(&item_piece(self.original, o), &item_piece(self.patched, p))
    }

    /// True where two data that are no twins hold the same.
    fn same_contents(&self, o: ItemId, p: ItemId) -> bool {
        if let Some(&known) = self.memo.borrow().get(&(o, p)) {
            return known;
        }
        // Data that refer to themselves are the same unless something else differs.
        self.memo.borrow_mut().insert((o, p), true);
        let same = match (self.trimmed(self.original, o), self.trimmed(self.patched, p)) {
            (Some(a), Some(b)) => self.piece_difference(&a, &b).is_none() || self.same_run(o, p),
            _ => self.data_difference(o, p).is_none(),
        };
        self.memo.borrow_mut().insert((o, p), same);
        same
    }

    /// True if what begins with two constants without a name is the same as far as both go on without one: code that is the
    /// same reads no further than the shorter one goes, also if it reaches a second constant from the first.
    fn same_run(&self, o: ItemId, p: ItemId) -> bool {
        let run = |view: &View<'_>, id: ItemId| (view.items[id].section, view.run_from(id));
        let ((so, ro), (sp, rp)) = (run(self.original, o), run(self.patched, p));
        let size = (ro.end - ro.start).min(rp.end - rp.start);
        let a = run_piece(self.original, so, ro.start..ro.start + size);
        let b = run_piece(self.patched, sp, rp.start..rp.start + size);
        self.piece_difference(&a, &b).is_none()
    }

    /// A constant without a name, less the zeroes at its end: they may align the next one. Code that is the same reads as many.
    fn trimmed<'v>(&self, view: &'v View<'_>, id: ItemId) -> Option<Piece<'v>> {
        let mut piece = Some(item_piece(view, id)).filter(|_| constants::is_one(view, id))?;
        let used = piece.bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1);
        let field = |r: &Reloc| {
            let bytes = view.object.arch.field(r.kind).map_or(8, |field| field.bytes());
            r.offset - piece.start + bytes as u64
        };
        let used = piece.relocs.iter().map(field).max().unwrap_or(0).max(used).min(piece.bytes.len() as u64);
        piece.size = used;
        piece.bytes = &piece.bytes[..used as usize];
        Some(piece)
    }

    fn piece_difference(&self, o: &Piece<'_>, p: &Piece<'_>) -> Option<Difference> {
        if o.size != p.size {
            return Difference::of_all(format!("{} bytes instead of {}", p.size, o.size));
        }
        let arch = self.original.object.arch;
        if o.bytes.len() != p.bytes.len() {
            return Difference::of_all("initialised data instead of zeroes, or the reverse".into());
        }
        if o.bytes != p.bytes {
            let (mut a, mut b) = (o.bytes.to_vec(), p.bytes.to_vec());
            mask(&mut a, o, arch);
            mask(&mut b, p, arch);
            if a != b {
                self.mask_lines(&mut a, &mut b, o, p);
            }
            if let Some(at) = a.iter().zip(&b).position(|(x, y)| x != y) {
                return Difference::at(at as u64, format!("different bytes from offset {at:#x} on"));
            }
        }
        if o.relocs.len() != p.relocs.len() {
            return Difference::of_all(format!("{} references instead of {}", p.relocs.len(), o.relocs.len()));
        }
        for (ro, rp) in o.relocs.iter().zip(&p.relocs) {
            let at = ro.offset - o.start;
            if at != rp.offset - p.start || !arch.same_reloc(ro.kind, rp.kind) {
                return Difference::at(at, format!("different references from offset {at:#x} on"));
            }
            match (names_nothing(self.original, o, ro), names_nothing(self.patched, p, rp)) {
                (true, true) => continue,
                (false, false) => {}
                _ => return Difference::at(at, format!("at offset {at:#x} an alternative is empty, or no longer is")),
            }
            let fo = self.original.reference(o.section, o.start..o.start + o.size, ro);
            let fp = self.patched.reference(p.section, p.start..p.start + p.size, rp);
            if !self.same_reference(&fo, &fp) {
                let (new, old) = (describe(self.patched, &fp), describe(self.original, &fo));
                let why = match new == old {
                    true => format!("at offset {at:#x} it refers to another place in {new}"),
                    false => format!("at offset {at:#x} it refers to {new} instead of {old}"),
                };
                return Difference::at(at, why);
            }
        }
        None
    }

    /// Blanks line numbers out.
    fn mask_lines(&self, a: &mut [u8], b: &mut [u8], o: &Piece<'_>, p: &Piece<'_>) {
        let home = &self.original.object.sections[o.section];
        if home.is_text() {
            let old = o.side(self.original);
            let new = p.side(self.patched);
            for noise in lines::of_code(&old, &new, &self.moves) {
                a[noise.clone()].fill(0);
                b[noise].fill(0);
            }
        }
        let entry = lines::of_entry(&o.side(self.original));
        for (at, bits) in lines::of_data(&home.name, o.start, &o.relocs).into_iter().chain(entry) {
            if let (Some(x), Some(y)) = (a.get_mut(at), b.get_mut(at)) {
                *x &= !bits;
                *y &= !bits;
            }
        }
    }

    fn same_reference(&self, o: &Ref, p: &Ref) -> bool {
        let name_o = |s| self.original.object.symbol_name(s);
        let name_p = |s| self.patched.object.symbol_name(s);
        match (*o, *p) {
            (Ref::External { symbol: a, addend: x }, Ref::External { symbol: b, addend: y }) => {
                x == y && name_o(a) == name_p(b)
            }
            (Ref::Item { item: a, addend: x }, Ref::Item { item: b, addend: y }) => {
                if x != y {
                    return false;
                }
                if self.twins.of_original[a] == Some(b) {
                    return true;
                }
                let (ia, ib) = (&self.original.items[a], &self.patched.items[b]);
                ia.kind == ib.kind
                    && ia.kind != ItemKind::Function
                    && ia.is_own_copy(self.original.object)
                    && ib.is_own_copy(self.patched.object)
                    && self.same_contents(a, b)
            }
            (Ref::String { section: a, start: x, addend: m }, Ref::String { section: b, start: y, addend: n }) => {
                let (a, b) = (&self.original.object.sections[a], &self.patched.object.sections[b]);
                m == n && a.string_unit() == b.string_unit() && string_at(a, x) == string_at(b, y)
            }
            (Ref::Special { section: a, offset: x }, Ref::Special { section: b, offset: y }) => {
                let (sa, sb) = (&self.original.object.sections[a], &self.patched.object.sections[b]);
                sa.name == sb.name && self.same_special(a, x, b, y)
            }
            (Ref::Nowhere { section: a, offset: x }, Ref::Nowhere { section: b, offset: y }) => {
                x == y && self.original.object.sections[a].name == self.patched.object.sections[b].name
            }
            _ => false,
        }
    }

    /// Places in special sections are the same when the entries there are.
    fn same_special(&self, a: SecId, x: u64, b: SecId, y: u64) -> bool {
        match (self.entries[0].at(a, x), self.entries[1].at(b, y)) {
            (Some(eo), Some(ep)) => {
                let (po, pp) = (entry_piece(self.original, eo), entry_piece(self.patched, ep));
                x - eo.range.start == y - ep.range.start && self.piece_difference(&po, &pp).is_none()
            }
            // An empty replacement at the very end.
            (None, None) => x == self.original.object.sections[a].size && y == self.patched.object.sections[b].size,
            _ => false,
        }
    }
}

fn item_piece<'a>(view: &'a View<'_>, id: ItemId) -> Piece<'a> {
    let item = &view.items[id];
    Piece {
        section: item.section,
        start: item.range.start,
        bytes: view.bytes(id),
        size: item.range.end - item.range.start,
        relocs: view.relocs(id),
    }
}

fn run_piece<'a>(view: &'a View<'_>, id: SecId, range: std::ops::Range<u64>) -> Piece<'a> {
    let section = &view.object.sections[id];
    Piece {
        section: id,
        start: range.start,
        bytes: section.bytes(range.clone()),
        size: range.end - range.start,
        relocs: section.relocs_in(range).to_vec(),
    }
}

fn entry_piece<'a>(view: &'a View<'_>, entry: &Entry) -> Piece<'a> {
    let section = &view.object.sections[entry.section];
    Piece {
        section: entry.section,
        start: entry.range.start,
        bytes: section.bytes(entry.range.clone()),
        size: entry.range.end - entry.range.start,
        relocs: section.relocs_in(entry.range.clone()).to_vec(),
    }
}

fn names_nothing(view: &View<'_>, piece: &Piece<'_>, reloc: &Reloc) -> bool {
    let section = &view.object.sections[piece.section];
    view.object.arch.names_nothing(section, piece.start..piece.start + piece.size, reloc)
}

fn mask(bytes: &mut [u8], piece: &Piece<'_>, arch: &dyn crate::arch::Arch) {
    for r in &piece.relocs {
        let at = ((r.offset - piece.start) as usize).min(bytes.len());
        if let Some(field) = arch.field(r.kind) {
            field.blank(&mut bytes[at..]);
        }
    }
}

/// A reference in words.
pub fn describe(view: &View<'_>, reference: &Ref) -> String {
    match *reference {
        Ref::External { symbol, .. } => view.object.symbol_name(symbol).to_string(),
        Ref::Item { item, .. } => view.items[item].name.clone(),
        Ref::String { section, start, .. } => {
            format!("{:?}", string_text(&view.object.sections[section], start))
        }
        Ref::Special { section, offset } | Ref::Nowhere { section, offset } => {
            format!("{}+{offset:#x}", view.object.sections[section].name)
        }
    }
}
