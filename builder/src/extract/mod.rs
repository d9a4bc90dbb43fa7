// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage extract: a [`ChangeSet`] in, the payload object out: the changed and new functions, the data,
//! strings and special section entries that they need, and undefined symbols for all that stays where it
//! is in the running kernel.

mod payload;
mod static_calls;

use crate::diff::patchability::{running_name, Patchable};
use crate::diff::view::{ItemId, ItemKind, Ref};
use crate::diff::{callbacks, constants, names, ChangeSet, ChangedFunction};
use crate::elf::strings::string_at;
use crate::elf::*;
use crate::error::Refusal;
use crate::hooks::{Callback, Kind};
use crate::special::marks;
use crate::special::storage::Storage;
use crate::special::{self, Entry, Fate};
use payload::Payload;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;

/// What the payload refers to and does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// The name in the payload's symbol table.
    pub name: String,
    /// Where it is defined, as far as the unit itself knows.
    pub origin: Origin,
}

impl External {
    /// The name by which the kernel knows it: references to one function may have different names in the payload.
    pub fn means(&self) -> &str {
        match &self.origin {
            Origin::Running { name } => name,
            Origin::Unit { .. } | Origin::OtherUnits => &self.name,
        }
    }
}

/// Where an external symbol is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the original of this unit, under this name.
    Unit {
        /// Its name in the original object (and so in the running kernel).
        name: String,
        /// Visible to this file alone.
        local: bool,
    },
    /// A function of this unit, or of another one, that the live patch replaces, and that the patched code points to. What the kernel keeps or
    /// compares has to be the running kernel's own address; from there ftrace leads on.
    Running {
        /// Its name in the original object (and so in the running kernel).
        name: String,
    },
    /// In some other unit: a global name.
    OtherUnits,
}

/// A replaced function in the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Its name in the running kernel.
    pub old_name: String,
    /// The global symbol of the new code.
    pub symbol: String,
}

/// The extracted code of one unit.
#[derive(Clone, Debug)]
pub struct Extract {
    /// A relocatable object; externals are undefined symbols under the names of [`External`].
    pub object: Object,
    /// The functions to be registered with livepatch.
    pub replaced: Vec<Replaced>,
    /// The functions to be called when the live patch is applied and taken back.
    pub callbacks: Vec<Callback>,
    /// What it refers to.
    pub externals: Vec<External>,
    /// Names of data that came along.
    pub data: Vec<String>,
    /// How many entries of each special section came along.
    pub special: BTreeMap<String, usize>,
}

/// Extracts what the live patch has to carry. `tag` keeps the entry symbols of several units apart.
///
/// # Errors
/// What the closure of the changed code reaches and cannot take along.
pub fn extract(patchable: Patchable<'_, '_>, tag: &str) -> Result<Extract, Vec<Refusal>> {
    let changes = patchable.changes();
    let mut run = Run::new(changes, tag);
    for function in &changes.functions {
        run.include(function.item);
    }
    run.close();
    if !run.refusals.is_empty() {
        run.refusals.dedup();
        return Err(run.refusals);
    }
    let mut replaced = Vec::new();
    for function in &changes.functions {
        if let Some(r) = run.register(function) {
            replaced.push(r);
        }
    }
    let callbacks = match callbacks::of(changes) {
        Ok(found) => found.into_iter().map(|(kind, item)| run.callback(kind, item)).collect(),
        Err(refusals) => return Err(refusals),
    };
    let mut object = run.out.finish();
    if let Some(size) = changes.static_call_site {
        run.externals.extend(static_calls::add(&mut object, size));
    }
    Ok(Extract { object, replaced, callbacks, externals: run.externals, data: run.data, special: run.special })
}

/// The refusal for a field of data that is too small for the way to the running kernel.
pub fn out_of_reach(user: &str, section: &str, name: &str) -> Refusal {
    Refusal::new(
        "out-of-reach",
        user,
        section,
        format!("it holds the way to {name} in 32 bits, and {name} is in the running kernel, farther away from a module than that"),
        "store a pointer, or a distance in 64 bits",
    )
}

struct Run<'a, 'o> {
    changes: &'a ChangeSet<'o>,
    tag: &'a str,
    out: Payload,
    functions: BTreeSet<ItemId>,
    placed: HashMap<ItemId, SymId>,
    /// The payload's symbols for weak ones of the patched object.
    weak: HashMap<SymId, SymId>,
    strings: HashMap<(String, Vec<u8>), SymId>,
    /// Where constants without a name are, by their section and the first of them.
    constants: HashMap<(SecId, u64), (SecId, u64)>,
    entries: HashMap<(SecId, u64), (SecId, u64)>,
    labels: HashMap<(SecId, u64), SymId>,
    externals: Vec<External>,
    external_ids: HashMap<String, SymId>,
    /// Callbacks that have their entry symbol.
    entered: BTreeSet<ItemId>,
    data: Vec<String>,
    special: BTreeMap<String, usize>,
    queue: VecDeque<Pending>,
    refusals: Vec<Refusal>,
}

/// Bytes that were placed and whose references are not yet.
struct Pending {
    section: SecId,
    range: Range<u64>,
    relocs: Vec<Reloc>,
    out_section: SecId,
    out_offset: u64,
    on_behalf_of: String,
}

impl<'a, 'o> Run<'a, 'o> {
    fn new(changes: &'a ChangeSet<'o>, tag: &'a str) -> Self {
        Self {
            changes,
            tag,
            out: Payload::new(changes.patched.object),
            functions: changes.functions.iter().map(|f| f.item).collect(),
            placed: HashMap::new(),
            weak: HashMap::new(),
            strings: HashMap::new(),
            constants: HashMap::new(),
            entries: HashMap::new(),
            labels: HashMap::new(),
            externals: Vec::new(),
            external_ids: HashMap::new(),
            entered: BTreeSet::new(),
            data: Vec::new(),
            special: BTreeMap::new(),
            queue: VecDeque::new(),
            refusals: Vec::new(),
        }
    }

    /// Places an item (once) and gives its symbol.
    fn include(&mut self, id: ItemId) -> SymId {
        if let Some(&symbol) = self.placed.get(&id) {
            return symbol;
        }
        let view = &self.changes.patched;
        let item = &view.items[id];
        let section = view.section(id);
        if constants::is_one(view, id) {
            return self.include_constants(id);
        }
        let range = item.range.clone();
        let own_section = range.start == 0 && range.end == section.size;
        let (out_section, out_offset) = self.out.place(section, range.clone(), own_section);
        let shift = out_offset as i64 - item.range.start as i64;
        let symbol = match item.kind {
            ItemKind::Anonymous => self.out.label(out_section, out_offset),
            _ => {
                let mut first = None;
                let is_weak = |&s: &SymId| view.object.symbols[s].bind == Bind::Weak;
                // A weak name may be another definition's in the running kernel.
                let (weak, others): (Vec<SymId>, Vec<SymId>) = item.symbols.iter().partition(|s| is_weak(s));
                for s in others.into_iter().chain(weak) {
                    let mut symbol = view.object.symbols[s].clone();
                    symbol.place = Place::In(out_section);
                    symbol.value = symbol.value.wrapping_add_signed(shift);
                    if names::is_module_entry(&symbol.name) {
                        // The live patch has its own.
                        symbol.bind = Bind::Local;
                    }
                    let is_weak = symbol.bind == Bind::Weak;
                    let id = self.out.define(symbol);
                    self.weak.extend(is_weak.then_some((s, id)));
                    first.get_or_insert(id);
                }
                first.unwrap_or(0)
            }
        };
        // Prefix symbols that objtool made name the padding.
        for prefix in view.object.symbols.iter().filter(|s| {
            s.name.starts_with("__pfx_")
                && s.section() == Some(item.section)
                && item.range.contains(&s.value)
                && item.kind == ItemKind::Function
        }) {
            let mut prefix = prefix.clone();
            prefix.place = Place::In(out_section);
            prefix.value = prefix.value.wrapping_add_signed(shift);
            self.out.define(prefix);
        }
        self.placed.insert(id, symbol);
        self.queue.push_back(Pending {
            section: item.section,
            range,
            relocs: view.relocs(id),
            out_section,
            out_offset,
            on_behalf_of: item.name.clone(),
        });
        if item.kind == ItemKind::Function {
            for entry in self.changes.entries.by_item.get(&id).cloned().unwrap_or_default() {
                self.include_entry(&entry, &item.name);
            }
        } else if item.kind == ItemKind::Data {
            self.data.push(item.name.clone());
        }
        symbol
    }

    /// Places a constant without a name, with those beside it: where it ends is not known for certain.
    fn include_constants(&mut self, id: ItemId) -> SymId {
        let view = &self.changes.patched;
        let item = &view.items[id];
        let (run, section) = (view.run_around(id), view.section(id));
        let (out_section, out_offset) = match self.constants.get(&(item.section, run.start)) {
            Some(&place) => place,
            None => {
                let own_section = run.start == 0 && run.end == section.size;
                let (out_section, out_offset) = self.out.place(section, run.clone(), own_section);
                self.constants.insert((item.section, run.start), (out_section, out_offset));
                self.queue.push_back(Pending {
                    section: item.section,
                    range: run.clone(),
                    relocs: section.relocs_in(run.clone()).to_vec(),
                    out_section,
                    out_offset,
                    on_behalf_of: item.name.clone(),
                });
                (out_section, out_offset)
            }
        };
        let symbol = self.out.label(out_section, out_offset + (item.range.start - run.start));
        self.placed.insert(id, symbol);
        symbol
    }

    /// Places an entry of a special section (once) and says where.
    fn include_entry(&mut self, entry: &Entry, on_behalf_of: &str) -> (SecId, u64) {
        if let Some(&place) = self.entries.get(&(entry.section, entry.range.start)) {
            return place;
        }
        let section = &self.changes.patched.object.sections[entry.section];
        *self.special.entry(section.name.clone()).or_default() += 1;
        let linked = self.is_ordered(&section.name).then(|| self.home_of_code(entry)).flatten();
        let (out_section, out_offset) = self.out.append_entry(section, entry, linked);
        self.queue.push_back(Pending {
            section: entry.section,
            range: entry.range.clone(),
            relocs: section.relocs_in(entry.range.clone()).to_vec(),
            out_section,
            out_offset,
            on_behalf_of: on_behalf_of.into(),
        });
        self.entries.insert((entry.section, entry.range.start), (out_section, out_offset));
        (out_section, out_offset)
    }

    /// Whether sections of this name are put in the order of the code that they refer to. Linkers want all or none to be.
    fn is_ordered(&self, name: &str) -> bool {
        let mut sections = self.changes.patched.object.sections.iter().filter(|s| s.name == name);
        sections.any(|s| s.flags & u64::from(SHF_LINK_ORDER) != 0)
    }

    /// The payload's section with the code that an entry refers to. The section that its own one is linked to need not be
    /// that: GCC 12 links all entries of a file to the first function.
    fn home_of_code(&self, entry: &Entry) -> Option<SecId> {
        let view = &self.changes.patched;
        let section = &view.object.sections[entry.section];
        let code = special::row_of(&section.name)?.code_of(section, entry)?;
        match view.reference(entry.section, entry.range.clone(), code) {
            Ref::Item { item, .. } => self.out.section_of(*self.placed.get(&item)?),
            _ => None,
        }
    }

    /// Follows references until they add nothing new.
    fn close(&mut self) {
        loop {
            while let Some(pending) = self.queue.pop_front() {
                for reloc in &pending.relocs {
                    self.relocate(&pending, reloc);
                }
            }
            if !self.annotate_replacements() {
                return;
            }
        }
    }

    /// Entries that refer to an included replacement (annotations inside alternatives).
    fn annotate_replacements(&mut self) -> bool {
        let view = &self.changes.patched;
        let mut found = Vec::new();
        for (&id, entries) in &self.changes.entries.all {
            let section = &view.object.sections[id];
            let Some(row) = special::row_of(&section.name).filter(|r| r.fate == Fate::Keep) else { continue };
            for entry in entries.iter().filter(|e| !self.entries.contains_key(&(id, e.range.start))) {
                let Some(code) = row.code_of(section, entry) else { continue };
                let Ref::Special { section: home, offset } = view.reference(id, entry.range.clone(), code) else {
                    continue;
                };
                let piece = self.changes.entries.at(home, offset);
                if piece.is_some_and(|piece| self.entries.contains_key(&(home, piece.range.start))) {
                    found.push(entry.clone());
                }
            }
        }
        for entry in &found {
            self.include_entry(entry, "an alternative");
        }
        !found.is_empty()
    }

    fn relocate(&mut self, pending: &Pending, reloc: &Reloc) {
        let view = &self.changes.patched;
        let arch = view.object.arch;
        let section_name = &view.object.sections[pending.section].name;
        if arch.field(reloc.kind).is_none() {
            self.refusals.push(Refusal::new(
                "unknown-relocation",
                &pending.on_behalf_of,
                section_name,
                format!("relocation {} at offset {:#x} is not known", arch.reloc_name(reloc.kind), reloc.offset),
                "kmend does not support this construct yet",
            ));
            return;
        }
        let target = match view.reference(pending.section, pending.range.clone(), reloc) {
            Ref::External { symbol: 0, addend } => Some((0, addend)),
            Ref::External { symbol, addend } if arch.is_linker_symbol(&view.object.symbols[symbol].name) => {
                Some((self.out.undefined(&view.object.symbols[symbol].name), addend))
            }
            Ref::External { symbol, addend } => {
                let name = view.object.symbols[symbol].name.clone();
                Some((self.external(&name, Origin::OtherUnits), addend))
            }
            Ref::Item { item, addend } => self.item_reference(item, addend, reloc, pending),
            Ref::String { section, start, addend } => Some((self.string(section, start), addend)),
            Ref::Special { section, offset } => self.special_reference(section, offset, reloc, pending),
            Ref::Nowhere { section, offset } => {
                let home = &view.object.sections[section];
                if home.size > 0 {
                    self.refusals.push(Refusal::new(
                        "unknown-reference",
                        &pending.on_behalf_of,
                        section_name,
                        format!("it refers to {}+{offset:#x}, which kmend cannot identify", home.name),
                        "kmend does not support this construct yet",
                    ));
                }
                None
            }
        };
        if let Some((symbol, addend)) = target {
            let offset = pending.out_offset + (reloc.offset - pending.range.start);
            self.out.relocate(pending.out_section, Reloc { offset, kind: reloc.kind, symbol, addend });
        }
    }

    /// A reference to a function or datum of the unit: inside of the payload, or in the running kernel.
    fn item_reference(&mut self, id: ItemId, addend: i64, reloc: &Reloc, pending: &Pending) -> Option<(SymId, i64)> {
        let running = self.changes.points_to(pending.section, pending.range.clone(), reloc);
        if let Some(original) = running.and_then(|item| self.changes.replaced(item)) {
            let (name, _) = self.meant(original, reloc);
            if !self.changes.patched.object.arch.spans_modules(reloc.kind) {
                let home = &self.changes.patched.object.sections[pending.section].name;
                self.refusals.push(out_of_reach(&pending.on_behalf_of, home, &name));
                return None;
            }
            return Some((self.external(&name.clone(), Origin::Running { name }), addend));
        }
        let view = &self.changes.patched;
        let item = &view.items[id];
        let section = &view.section(id).name;
        let twin = self.changes.twins.of_patched[id];
        let comes_along = match item.kind {
            ItemKind::Function => self.functions.contains(&id) || self.changes.absent.contains(&id),
            ItemKind::Data => twin.is_none() || item.is_own_copy(view.object) || self.changes.goes_with_code(id),
            ItemKind::Anonymous => true,
        };
        if comes_along {
            let compilers_own = crate::diff::names::is_own_section(section) || view.is_toc(id);
            if item.kind == ItemKind::Anonymous && !constants::is_one(view, id) && !compilers_own {
                self.refusals.push(Refusal::new(
                    "unnamed-data",
                    &pending.on_behalf_of,
                    section,
                    format!("it uses writable data without a name ({section}+{:#x})", item.range.start),
                    "give the data a name, so that kmend can identify it in the running kernel",
                ));
                return None;
            }
            let symbol = self.include(id);
            return Some((self.weak.get(&reloc.symbol).copied().unwrap_or(symbol), addend));
        }
        // The original says where the running kernel has it.
        let running = twin.map(|o| Storage::of(self.changes.original.section(o)));
        let from_ref = || marks::names_from_ref(self.changes.original.object, &pending.on_behalf_of, &item.name);
        if (Storage::of(view.section(id)).is_gone() || running.is_some_and(Storage::is_gone)) && !from_ref() {
            self.refusals.push(Refusal::new(
                "refers-to-init",
                &pending.on_behalf_of,
                section,
                format!(
                    "it refers to {}, which is freed once the kernel has booted or the module is loaded",
                    item.name
                ),
                "leave this part of the fix out",
            ));
            return None;
        }
        if !view.object.arch.spans_modules(reloc.kind) {
            let home = &view.object.sections[pending.section].name;
            self.refusals.push(out_of_reach(&pending.on_behalf_of, home, &item.name));
            return None;
        }
        if !view.object.arch.reaches_kernel(reloc.kind, addend) {
            self.refusals.push(Refusal::new(
                "jumps-into-function",
                &pending.on_behalf_of,
                section,
                format!("it jumps into {}, {addend} bytes after its entry, or conditionally, which is not possible from a module", item.name),
                "in assembler use a call or an unconditional jump to the beginning; otherwise leave this part of the fix out",
            ));
            return None;
        }
        let left_out = self.changes.left_out.iter().find(|left| left.name == item.name);
        let Some(twin) = twin.filter(|_| left_out.is_none() || !names::has_own_arguments(&item.name)) else {
            self.refusals.push(match left_out {
                Some(left) => Refusal::new(
                    "kpatch-macro",
                    left.by,
                    &pending.on_behalf_of,
                    format!(
                        "it leaves out {}, which code of the fix uses; the running kernel does not have it, or \
                         not with the same arguments",
                        item.name
                    ),
                    "remove the macro for this function",
                ),
                None => Refusal::new(
                    "unknown-reference",
                    &pending.on_behalf_of,
                    section,
                    format!("it refers to {}, which is neither in the running kernel nor in the live patch", item.name),
                    "this is a bug in kmend: please report it",
                ),
            });
            return None;
        };
        let (name, local) = self.meant(twin, reloc);
        Some((self.external(&name, Origin::Unit { name: name.clone(), local }), addend))
    }

    /// The name by which a reference means an item of the original, and whether it is bound to the file.
    fn meant(&self, original: ItemId, reloc: &Reloc) -> (String, bool) {
        let view = &self.changes.original;
        let mine = |name: &str| {
            let mut symbols = view.items[original].symbols.iter().map(|&s| &view.object.symbols[s]);
            symbols.find(|s| s.name == name)
        };
        // By a weak name the code means whatever definition the kernel took; by any other this very item.
        let symbol = &self.changes.patched.object.symbols[reloc.symbol];
        let named = if symbol.bind == Bind::Weak { mine(&symbol.name) } else { None };
        let name = named.map_or_else(|| running_name(view, original), |s| &s.name).to_string();
        let local = mine(&name).is_some_and(Symbol::is_local);
        (name, local)
    }

    fn special_reference(
        &mut self,
        section: SecId,
        offset: u64,
        reloc: &Reloc,
        pending: &Pending,
    ) -> Option<(SymId, i64)> {
        let view = &self.changes.patched;
        let raw = view.object.symbols[reloc.symbol].value as i64 + reloc.addend;
        let from = &view.object.sections[pending.section];
        let empty = view.object.arch.names_nothing(from, pending.range.clone(), reloc);
        let piece = self.changes.entries.at(section, offset).filter(|_| !empty).cloned();
        let Some(piece) = piece else {
            // An empty replacement is at the very end of its section, or nowhere.
            let home = &view.object.sections[section];
            if empty || offset == home.size {
                let (out, at) = self.out.append(home, offset..offset, None);
                return Some((self.out.label(out, at), raw - offset as i64));
            }
            self.refusals.push(Refusal::new(
                "unknown-reference",
                &pending.on_behalf_of,
                &home.name,
                format!("it refers to offset {offset:#x}, where no entry begins"),
                "kmend does not support this construct yet",
            ));
            return None;
        };
        let place = self.include_entry(&piece, &pending.on_behalf_of);
        let symbol = match self.labels.get(&place) {
            Some(&symbol) => symbol,
            None => self.out.label(place.0, place.1),
        };
        self.labels.insert(place, symbol);
        Some((symbol, raw - piece.range.start as i64))
    }

    fn string(&mut self, section: SecId, start: u64) -> SymId {
        let home = &self.changes.patched.object.sections[section];
        let key = (home.name.clone(), string_at(home, start).to_vec());
        if let Some(&symbol) = self.strings.get(&key) {
            return symbol;
        }
        let end = start + (key.1.len() + home.string_unit()) as u64;
        let (out, at) = self.out.append(home, start..end.min(home.size), None);
        let symbol = self.out.label(out, at);
        self.strings.insert(key, symbol);
        symbol
    }

    fn external(&mut self, name: &str, origin: Origin) -> SymId {
        if let Some(&id) = self.external_ids.get(name) {
            return id;
        }
        let id = self.out.undefined(name);
        self.external_ids.insert(name.into(), id);
        self.externals.push(External { name: name.into(), origin });
        id
    }

    /// Gives a replaced function its global entry symbol; None for new functions and `.cold` parts.
    fn register(&mut self, function: &ChangedFunction) -> Option<Replaced> {
        let name = running_name(&self.changes.original, function.original?);
        if crate::diff::names::cold_parent(name).is_some() {
            return None;
        }
        let symbol = format!("kmend.{}.{name}", self.tag);
        self.out.alias(self.placed[&function.item], &symbol);
        Some(Replaced { old_name: name.into(), symbol })
    }

    /// Gives a callback its global entry symbol, once where it serves for several kinds.
    fn callback(&mut self, kind: Kind, item: ItemId) -> Callback {
        let function = self.changes.patched.items[item].name.clone();
        let symbol = format!("kmend.{}.{function}", self.tag);
        if self.entered.insert(item) {
            self.out.alias(self.placed[&item], &symbol);
        }
        Callback { kind, function, symbol }
    }
}
