// SPDX-License-Identifier: GPL-2.0-or-later
//! Entries of special sections: those of a patched object about a function, and where the function is in the module, in;
//! whether the module has each of them, and no others, out.

use super::finished::{Finished, Lead};
use super::things::{Kind, Named, ThingId};
use super::walk::{Piece, Walk};
use crate::elf::SecId;
use crate::section_table::{JUMP_TABLE, MCOUNT_LOC, STATIC_CALL_SITES};
use crate::special::{self, Entry, Fate};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Where the entries of one table are, by the place in the code that they are about.
type Index = HashMap<(SecId, i64), VecDeque<(SecId, u64)>>;

/// The special sections of the module, cut into entries as soon as one of them is needed.
#[derive(Default)]
pub(super) struct Tables {
    by_name: HashMap<String, Index>,
    /// Bytes from one entry to the next.
    strides: HashMap<String, u64>,
    /// Entries that have not been found in a patched object.
    left: BTreeSet<(SecId, u64)>,
    /// Static calls that the module lists: the section with the call, and where it is there. Modules of 6.1 keep each function in
    /// a section of its own.
    calls: BTreeSet<(SecId, u64)>,
}

impl Tables {
    fn index(&mut self, finished: &Finished<'_>, name: &str, stride: u64, code: u64) -> &mut Index {
        if !self.by_name.contains_key(name) {
            let mut index = Index::new();
            for (id, section) in finished.object.sections.iter().enumerate().filter(|(_, s)| s.name == name) {
                for start in (0..section.size).step_by(stride.max(1) as usize) {
                    self.left.insert((id, start));
                    let at = start + code;
                    let Some(r) = finished.relocs_in(id, at..at + 1).first() else { continue };
                    let bias = finished.object.arch.bias(section, start..(start + stride).min(section.size), r);
                    if let Ok(Lead::Here(home, place)) = finished.lead(r, bias) {
                        index.entry((home, place)).or_default().push_back((id, start));
                    }
                }
            }
            self.by_name.insert(name.into(), index);
            self.strides.insert(name.into(), stride);
        }
        self.by_name.entry(name.into()).or_default()
    }
}

/// Bytes of a struct static_call_site: two 32-bit distances (include/linux/static_call_types.h).
const CALL_SITE: u64 = 8;
/// In the low bits of a key's distance: the call is a jump (STATIC_CALL_SITE_TAIL).
const TAIL: i64 = 1;

impl Walk<'_> {
    /// The places in a thing's code where build tools may have put a nop in the place of a jump.
    pub fn switched(&self, unit: usize, thing: ThingId) -> Vec<u64> {
        let things = &self.things[unit];
        let entries = things.entries.get(&thing).into_iter().flatten();
        let jumps = entries.filter(|e| things.object.sections[e.section].name == JUMP_TABLE);
        let range = &things.all[thing].range;
        jumps.filter_map(|e| self.code_of(unit, e)).map(|(at, _)| at as u64).filter(|at| range.contains(at)).collect()
    }

    /// The place in the code that an entry is about, offset in its section, and the field's bias.
    fn code_of(&self, unit: usize, entry: &Entry) -> Option<(i64, i64)> {
        let things = &self.things[unit];
        let section = &things.object.sections[entry.section];
        let r = special::row_of(&section.name)?.code_of(section, entry)?;
        let bias = things.object.arch.bias(section, entry.range.clone(), r);
        let symbol = &things.object.symbols[r.symbol];
        Some(((symbol.value as i64).wrapping_add(r.addend).wrapping_add(bias), bias))
    }

    /// Looks for all entries about a thing that is at a place in the module.
    pub fn entries_of(&mut self, unit: usize, thing: ThingId, home: SecId, at: u64) {
        let entries = self.things[unit].entries.get(&thing).cloned().unwrap_or_default();
        let name = self.things[unit].name(thing);
        for entry in entries {
            if let Err(why) = self.entry(unit, thing, &entry, home, at, &name) {
                let table = self.things[unit].object.sections[entry.section].name.clone();
                self.fault(unit, &name, format!("its entry of {table} at {:#x}: {why}", entry.range.start));
            }
        }
    }

    fn entry(
        &mut self,
        unit: usize,
        thing: ThingId,
        entry: &Entry,
        home: SecId,
        at: u64,
        name: &str,
    ) -> Result<(), String> {
        let object = self.things[unit].object;
        let section = &object.sections[entry.section];
        let Some(row) = special::row_of(&section.name) else { return Ok(()) };
        let table = special::name_in_live_patch(&section.name);
        // Notes for build tools do not survive the link.
        if table.starts_with(".discard.") && self.finished.object.section_by_name(table).is_none() {
            return Ok(());
        }
        let (code, _) = self.code_of(unit, entry).ok_or("it is about no code")?;
        let place = (at as i64).wrapping_add(code).wrapping_sub(self.things[unit].all[thing].range.start as i64);
        let index = self.tables.index(&self.finished, table, entry.stride, row.code);
        let Some((found, start)) = index.get_mut(&(home, place)).and_then(VecDeque::pop_front) else {
            return Err(format!("the module has none for {}", self.finished.describe(home, place)));
        };
        self.tables.left.remove(&(found, start));
        let piece = Piece {
            unit,
            section: entry.section,
            range: entry.range.clone(),
            home: found,
            at: start,
            name: name.into(),
            entry: true,
        };
        self.shown.entries += 1;
        self.piece(&piece, &[])?;
        // Padding behind the last field.
        let used = entry.range.end - entry.range.start;
        if entry.stride > used {
            self.finished.account(found, start + used..start + entry.stride);
        }
        Ok(())
    }

    /// The thing whose bytes a place in the module is among, and the place in its section.
    pub fn piece_at(&self, home: SecId, at: i64) -> Option<(usize, ThingId, i64)> {
        let at = u64::try_from(at).ok()?;
        let (&(section, start), &(unit, thing)) = self.pieces.range(..=(home, at)).next_back()?;
        let range = &self.things[unit].all[thing].range;
        let inside = section == home && at - start < range.end - range.start;
        inside.then(|| (unit, thing, (range.start + (at - start)) as i64))
    }

    /// What is left in the tables of the module: sites of static calls, and what is about code that is none of the objects'.
    pub fn tables(&mut self) {
        let module = self.finished.object;
        for (id, section) in module.sections.iter().enumerate() {
            let Some(row) = special::row_of(&section.name) else { continue };
            if section.name == STATIC_CALL_SITES && !self.tables.by_name.contains_key(STATIC_CALL_SITES) {
                self.call_sites(id);
                continue;
            }
            if row.fate == Fate::Referenced {
                continue;
            }
            let stride = self.tables.strides.get(&section.name).copied();
            let relocs = self.finished.relocs_in(id, 0..section.size).to_vec();
            for r in relocs {
                let left = stride.is_none_or(|n| self.tables.left.contains(&(id, r.offset / n.max(1) * n)));
                let Ok(Lead::Here(home, at)) = self.finished.lead(&r, 0) else { continue };
                let Some((unit, thing, _)) = self.piece_at(home, at).filter(|_| left) else { continue };
                let traced = section.name == MCOUNT_LOC && self.is_traced(unit, thing, home, at);
                if row.fate == Fate::MadeByObjtool || traced {
                    continue;
                }
                let name = self.things[unit].name(thing);
                let why = format!(
                    "{}+{:#x} of the module is about it, and no entry of the patched object is",
                    section.name, r.offset
                );
                self.fault(unit, &name, why);
            }
        }
        self.missing_call_sites();
    }

    /// Whether a call of ftrace begins at a place: build tools list those themselves.
    fn is_traced(&self, unit: usize, thing: ThingId, home: SecId, at: i64) -> bool {
        let object = self.things[unit].object;
        let it = &self.things[unit].all[thing];
        let start = self.placed.get(&(unit, thing)).filter(|p| p.0 == home).map_or(0, |p| p.1 as i64);
        let here = (it.range.start as i64).wrapping_add(at).wrapping_sub(start);
        let section = &object.sections[it.section];
        let calls = section
            .relocs_in(it.range.clone())
            .iter()
            .filter(|r| object.arch.is_tracing_symbol(&object.symbols[r.symbol].name));
        let mut begins = calls.filter_map(|r| object.arch.branch_at(section, r));
        begins.any(|(begin, _)| begin as i64 == here)
    }

    /// Sites of static calls, which build tools list: each is about a call of the patched object's to the trampoline of a key,
    /// and names that key.
    fn call_sites(&mut self, id: SecId) {
        let size = self.finished.object.sections[id].size;
        for start in (0..size).step_by(CALL_SITE as usize) {
            let relocs = self.finished.relocs_in(id, start..start + CALL_SITE).to_vec();
            self.finished.account(id, start..(start + CALL_SITE).min(size));
            let [code, key] = relocs[..] else {
                let why = format!("{STATIC_CALL_SITES}+{start:#x} has {} relocations, not 2", relocs.len());
                self.push(super::not_shown("", STATIC_CALL_SITES, why));
                continue;
            };
            let Ok(Lead::Here(home, at)) = self.finished.lead(&code, 0) else { continue };
            let Some((unit, thing, place)) = self.piece_at(home, at) else { continue };
            let name = self.things[unit].name(thing);
            self.shown.references += 1;
            self.shown.entries += 1;
            match self.call_site(unit, thing, place, &key) {
                Ok(()) => self.shown.shown += 1,
                Err(why) => self.fault(unit, &name, format!("{STATIC_CALL_SITES}+{start:#x}: {why}")),
            }
            if !self.tables.calls.insert((home, at as u64)) {
                self.fault(unit, &name, format!("{STATIC_CALL_SITES} has two entries about {at:#x}"));
            }
        }
    }

    /// The static calls of a thing: where each begins in its section, of what key, whether it returns.
    fn static_calls(&self, unit: usize, thing: ThingId) -> Vec<(i64, String, bool)> {
        let things = &self.things[unit];
        let it = &things.all[thing];
        let section = &things.object.sections[it.section];
        let calls = section.relocs_in(it.range.clone()).iter().filter_map(|r| {
            let (begin, returns) = things.object.arch.branch_at(section, r).filter(|_| section.is_text())?;
            let name = match things.names(r, 0) {
                Named::Thing(code, ..) => things.name(code),
                Named::Outside(symbol, _) => things.object.symbols[symbol].name.clone(),
                _ => return None,
            };
            Some((begin as i64, name.strip_prefix("__SCT__")?.to_string(), returns))
        });
        calls.collect()
    }

    fn call_site(&mut self, unit: usize, thing: ThingId, place: i64, key: &crate::elf::Reloc) -> Result<(), String> {
        let calls = self.static_calls(unit, thing);
        let (_, called, returns) = calls.iter().find(|c| c.0 == place).ok_or("there is no static call")?;
        let flags = if *returns { 0 } else { TAIL };
        let wanted = format!("__SCK__{called}");
        let defines = |s: &crate::elf::Symbol| s.name == wanted && s.section().is_some();
        let own = self.units[unit].patched.symbols.iter().position(defines);
        let means = match own {
            Some(symbol) => self.kernels(unit, symbol)?,
            None => Some(self.world.meant(unit, &wanted)?),
        };
        let lead = self.finished.lead(key, 0)?;
        let fits = match (&lead, means) {
            (Lead::Outside(symbol, by), Some(place)) => {
                self.world.outside(&self.finished.object.symbols[*symbol])?.moved(*by) == place.moved(flags)
            }
            (Lead::Here(home, at), None) => {
                let found = self.piece_at(*home, at.wrapping_sub(flags));
                found.is_some_and(|(u, t, _)| u == unit && self.things[u].name(t) == wanted)
            }
            _ => false,
        };
        fits.then_some(()).ok_or_else(|| format!("its key is {wanted}, and {}", self.elsewhere(&lead)))
    }

    /// Where the module lists static calls, it has to list all.
    fn missing_call_sites(&mut self) {
        if self.finished.object.section_by_name(STATIC_CALL_SITES).is_none()
            || self.tables.by_name.contains_key(STATIC_CALL_SITES)
        {
            return;
        }
        let all: Vec<_> = self.placed.iter().map(|(&key, &place)| (key, place)).collect();
        for ((unit, thing), (home, start)) in all {
            if self.things[unit].all[thing].kind != Kind::Code {
                continue;
            }
            let from = self.things[unit].all[thing].range.start;
            for (place, key, _) in self.static_calls(unit, thing) {
                let at = start + (place as u64 - from);
                if !self.tables.calls.contains(&(home, at)) {
                    let name = self.things[unit].name(thing);
                    self.fault(unit, &name, format!("{STATIC_CALL_SITES} has no entry about its static call of {key}"));
                }
            }
        }
    }
}
