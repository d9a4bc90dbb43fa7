// SPDX-License-Identifier: GPL-2.0-or-later
//! Live patches that kmend did not make: the tables in which they name the functions they replace → klp objects.
//!
//! All three forms are arrays of structs whose pointers are relocations. Their first fields have not moved
//! since livepatch took shape (4.5), so they are read without knowing how long the structs are.

use super::{name_at, Function, Maker, Patched};
use crate::arch::Field;
use crate::elf::{Object, SecId, SymKind, Symbol};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// kpatch-build, `struct kpatch_patch_func` (kmod/patch/kpatch-patch.h): new_addr, new_size, old_addr,
/// old_size, sympos, name, objname; of 8 bytes each.
const KPATCH: &str = ".kpatch.funcs";
/// klp-build, `struct klp_object_ext` (include/linux/livepatch_external.h): name, funcs, callbacks (five
/// times 8 bytes), nr_funcs; filled up to 64 bytes.
const KLP_BUILD: &str = ".init.klp_objects";

/// Finds what made the module, and the functions that it replaces.
pub fn find(object: &Object, remarks: &mut Vec<String>) -> (Option<Maker>, Option<Vec<Patched>>) {
    let tables = [(KPATCH, Maker::Kpatch, kpatch as Reader), (KLP_BUILD, Maker::KlpBuild, klp_build)];
    for (name, maker, read) in tables {
        let Some(section) = object.section_by_name(name) else { continue };
        let found = read(&Tables::of(object), section);
        if found.is_none() {
            remarks.push(format!("section {name} does not have the form that is known"));
        }
        return (Some(maker), found);
    }
    match c_source(&Tables::of(object)) {
        Some(found) => (Some(Maker::CSource), Some(found)),
        None => (None, None),
    }
}

type Reader = fn(&Tables<'_>, SecId) -> Option<Vec<Patched>>;

/// A place in a section.
pub(crate) type Spot = (SecId, u64);

/// Pointers, names and numbers in the data of a module.
pub(crate) struct Tables<'a> {
    object: &'a Object,
    /// Functions that may still be read: each takes relocations of its own, unless a table is named twice.
    left: Cell<usize>,
}

impl<'a> Tables<'a> {
    /// Those of `object`.
    pub(crate) fn of(object: &'a Object) -> Self {
        Self { object, left: Cell::new(object.sections.iter().map(|s| s.relocs.len()).sum()) }
    }

    /// Where the pointer at a place leads; None where no pointer stands there.
    pub(crate) fn pointer(&self, (section, at): Spot) -> Option<Spot> {
        let section = self.object.sections.get(section)?;
        let relocs = section.relocs_in(at..at.checked_add(1)?);
        let r = relocs.iter().find(|r| matches!(self.object.arch.field(r.kind), Some(Field::Absolute { bytes: 8 })))?;
        let symbol = &self.object.symbols[r.symbol];
        Some((symbol.section()?, symbol.value.checked_add_signed(r.addend)?))
    }

    /// The string that the pointer at a place leads to.
    pub(crate) fn name(&self, at: Spot) -> Option<String> {
        let (section, offset) = self.pointer(at)?;
        name_at(self.object, section, offset)
    }

    fn is_code_pointer(&self, at: Spot) -> bool {
        self.pointer(at).is_some_and(|(section, _)| self.object.sections[section].is_text())
    }

    /// The number of `len` bytes at a place.
    pub(crate) fn number(&self, (section, at): Spot, len: u64) -> Option<u64> {
        let bytes = self.object.sections.get(section)?.bytes(at..at.checked_add(len)?);
        let whole = bytes.len() as u64 == len;
        whole.then(|| bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    /// `struct klp_func` and `struct klp_func_ext` both begin with old_name, new_func, old_sympos.
    fn func(&self, at: Spot) -> Option<Function> {
        let name = self.name(at)?;
        self.is_code_pointer((at.0, at.1 + 8)).then_some(())?;
        let sympos = self.number((at.0, at.1 + 16), 8)?;
        self.left.set(self.left.get().checked_sub(1)?);
        Some(Function { name, sympos })
    }

    /// Name of the klp object at a place: no pointer means vmlinux.
    pub(crate) fn object_name(&self, at: Spot) -> Option<String> {
        match self.pointer(at) {
            None => Some("vmlinux".into()),
            Some((section, offset)) => name_at(self.object, section, offset),
        }
    }

    /// Where the variable ends that a place belongs to: that of its symbol, else that of its section.
    fn end_of(&self, (section, at): Spot) -> u64 {
        let symbols = self.object.symbols.iter().filter(|s| s.kind == SymKind::Data && s.section() == Some(section));
        let around = symbols.map(|s| s.value..s.value.saturating_add(s.size)).find(|range| range.contains(&at));
        let whole = self.object.sections.get(section).map_or(0, |s| s.data.len() as u64);
        around.map_or(whole, |range| range.end.min(whole))
    }
}

fn kpatch(tables: &Tables<'_>, section: SecId) -> Option<Vec<Patched>> {
    let size = tables.object.sections[section].data.len() as u64;
    let mut objects: BTreeMap<String, Vec<Function>> = BTreeMap::new();
    for at in (0..size).step_by(56) {
        tables.is_code_pointer((section, at)).then_some(())?;
        let function =
            Function { name: tables.name((section, at + 40))?, sympos: tables.number((section, at + 32), 8)? };
        objects.entry(tables.name((section, at + 48))?).or_default().push(function);
    }
    (size > 0).then(|| objects.into_iter().map(|(name, functions)| Patched { name, functions }).collect())
}

fn klp_build(tables: &Tables<'_>, section: SecId) -> Option<Vec<Patched>> {
    let size = tables.object.sections[section].data.len() as u64;
    let mut objects = Vec::new();
    for at in (0..size).step_by(64) {
        let name = tables.object_name((section, at))?;
        let (funcs, start) = tables.pointer((section, at + 8))?;
        let count = tables.number((section, at + 56), 4)?;
        // The first entry that is none ends it, so that a wrong count cannot lead far.
        let functions: Option<Vec<Function>> =
            (0..count).map(|i| tables.func((funcs, start.checked_add(i * 24)?))).collect();
        objects.push(Patched { name, functions: functions? });
    }
    (size > 0).then_some(objects)
}

/// A klp_patch is known by its first field, a pointer to the module itself; klp_objects and klp_funcs by
/// their first two.
fn c_source(tables: &Tables<'_>) -> Option<Vec<Patched>> {
    let object = tables.object;
    if !object.symbols.iter().any(|s| s.is_undefined() && s.name == "klp_enable_patch") {
        return None;
    }
    let mut found = Vec::new();
    for (id, section) in object.sections.iter().enumerate().filter(|(_, s)| s.is_alloc() && !s.is_text()) {
        for r in section.relocs.iter().filter(|r| object.symbols[r.symbol].name == "__this_module") {
            if let Some(objects) = tables.pointer((id, r.offset.saturating_add(8))) {
                found.extend(klp_objects(tables, objects));
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

fn klp_objects(tables: &Tables<'_>, start: Spot) -> Vec<Patched> {
    let all = klp_lists(tables, start).into_iter();
    all.map(|(name, list)| Patched { name, functions: list.into_iter().map(|(_, function)| function).collect() })
        .collect()
}

/// Where the array of klp objects is that a live patch of kmend's registers.
pub(crate) fn kmend_lists(object: &Object) -> impl Iterator<Item = Spot> + '_ {
    let is_list = |s: &&Symbol| s.name.starts_with("_R") && s.name.ends_with("7OBJECTS");
    object.symbols.iter().filter(is_list).filter_map(|s| Some((s.section()?, s.value)))
}

/// The code that takes the place of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCode {
    /// The klp object: `vmlinux` or a module.
    pub object: String,
    /// The function that it replaces.
    pub function: Function,
    /// The section of the live patch that it is in.
    pub section: String,
    /// Where it begins there, and where it ends; bytes.
    pub place: Range<u64>,
}

/// The new code of each function that a live patch of kmend's registers; nothing for those that others made.
pub fn new_code(object: &Object) -> Vec<NewCode> {
    let tables = Tables::of(object);
    let mut found = Vec::new();
    for (name, functions) in kmend_lists(object).flat_map(|start| klp_lists(&tables, start)) {
        for (at, function) in functions {
            // Behind the name in struct klp_func.
            let Some((section, value)) = tables.pointer((at.0, at.1 + 8)) else { continue };
            let is_here = |s: &&Symbol| s.kind == SymKind::Func && s.section() == Some(section) && s.value == value;
            let size = object.symbols.iter().find(is_here).map_or(0, |s| s.size);
            let (object, section) = (name.clone(), object.sections[section].name.clone());
            found.push(NewCode { object, function, section, place: value..value.saturating_add(size) });
        }
    }
    found
}

/// The names of the klp objects in an array that begins at `start`, those without functions among them.
pub(crate) fn klp_names(tables: &Tables<'_>, start: Spot) -> BTreeSet<String> {
    let places = (start.1..tables.end_of(start)).step_by(8).map(|at| (start.0, at));
    let with_list = places.filter(|place| tables.pointer((place.0, place.1 + 8)).is_some());
    with_list.filter_map(|place| tables.object_name(place)).collect()
}

/// The klp objects in an array that begins at `start`: the name of each, its functions and where these stand.
pub(crate) fn klp_lists(tables: &Tables<'_>, start: Spot) -> Vec<(String, Vec<(Spot, Function)>)> {
    let mut lists = Vec::new();
    for at in (start.1..tables.end_of(start)).step_by(8) {
        let funcs = tables.pointer((start.0, at + 8)).filter(|&f| tables.func(f).is_some());
        if let (Some(funcs), Some(name)) = (funcs, tables.object_name((start.0, at))) {
            lists.push((name, funcs));
        }
    }
    let starts: Vec<Spot> = lists.iter().map(|(_, funcs)| *funcs).collect();
    lists
        .into_iter()
        .map(|(name, (section, from))| {
            let own_end = tables.end_of((section, from));
            let next = starts.iter().filter(|s| s.0 == section && s.1 > from).map(|s| s.1).min();
            let end = next.unwrap_or(own_end).min(own_end);
            let functions =
                (from..end).step_by(8).filter_map(|at| Some(((section, at), tables.func((section, at))?))).collect();
            (name, functions)
        })
        .collect()
}
