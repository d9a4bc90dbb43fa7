// SPDX-License-Identifier: GPL-2.0-or-later
//! What is in a module beside the pieces of patched objects: a module with its pieces accounted for in; bytes that are
//! neither theirs nor what kmend and the build tools put there, out.

use super::not_shown;
use super::walk::Walk;
use crate::elf::{SecId, SymKind, Symbol, SHT_NOBITS, SHT_NOTE};
use crate::special::known::{class_of, Class};
use crate::special::{row_of, Fate};
use std::collections::BTreeSet;
use std::ops::Range;

/// Symbols that kbuild, modpost and the module's Rust source give a module beside mangled names.
const NAMES: &[&str] =
    &["init_module", "cleanup_module", "__this_module", "____versions", "__module_init", "__module_exit"];
/// How such symbols begin: Rust's mangling, padding before functions, type hashes, contents of .modinfo and notes.
const PREFIXES: &[&str] =
    &["_R", "__pfx_", "__cfi_", "__kcfi_typeid_", "__UNIQUE_ID_", "__mod_", "_note_", "anon.", "alloc_"];

/// Bytes of a doubleword.
const DOUBLEWORD: u64 = 8;

/// Whether a name is one that every module has for itself. Patched objects of modules define some of them too.
pub(super) fn is_of_every_module(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether a symbol is the glue's.
fn is_glue(symbol: &Symbol) -> bool {
    let name = symbol.name.as_str();
    is_of_every_module(name) || PREFIXES.iter().any(|p| name.starts_with(p))
}

impl Walk<'_> {
    /// Looks at what is left of the module once all pieces are accounted for.
    pub fn finish(&mut self, glue: bool) {
        self.tables();
        self.doubts();
        let module = self.finished.object;
        if glue {
            for symbol in module.symbols.iter().filter(|s| is_glue(s) && s.kind != SymKind::Section) {
                if let Some(home) = symbol.section() {
                    let start = self.distance_to_toc(home, symbol).unwrap_or(symbol.value);
                    self.finished.account(home, start..symbol.value + symbol.size);
                }
            }
        }
        let reached = if glue { self.reached_by_glue() } else { BTreeSet::new() };
        for (id, section) in module.sections.iter().enumerate() {
            let row = row_of(&section.name);
            let made = row.is_some_and(|row| row.fate == Fate::MadeByObjtool);
            let file = class_of(&section.name) == Some(Class::File) && !module.arch.is_toc(&section.name);
            if id == 0 || !section.is_alloc() || section.kind == SHT_NOTE || made || file {
                continue;
            }
            let table = row.is_some_and(|row| row.fate != Fate::Referenced);
            for range in self.finished.left(id) {
                if self.is_filler(id, range.clone()) || glue && (table || self.is_of_glue(id, range.clone(), &reached))
                {
                    continue;
                }
                let why = format!(
                    "{} bytes at {} of it are no piece of the patched files",
                    range.end - range.start,
                    self.finished.describe(id, range.start as i64)
                );
                self.push(not_shown("", &section.name, why));
            }
        }
    }

    /// Where the doubleword begins that functions of the large code model of powerpc have in front of them: how far it is from their
    /// entry to the TOC (ELFv2 ABI, section 2.3.2.1).
    fn distance_to_toc(&self, home: SecId, function: &Symbol) -> Option<u64> {
        let start = function.value.checked_sub(DOUBLEWORD).filter(|_| function.kind == SymKind::Func)?;
        let [distance] = self.finished.relocs_in(home, start..function.value) else { return None };
        let object = self.finished.object;
        let is_toc = object.arch.is_linker_symbol(&object.symbols[distance.symbol].name);
        (is_toc && distance.offset == start).then_some(start)
    }

    /// Padding between pieces.
    fn is_filler(&self, id: SecId, range: Range<u64>) -> bool {
        let section = &self.finished.object.sections[id];
        if !self.finished.relocs_in(id, range.clone()).is_empty() {
            return false;
        }
        let gap = range.end - range.start < section.align.max(1);
        match section.is_text() {
            true => section.data.get(range.start as usize..range.end as usize).is_some_and(|bytes| {
                self.finished.object.arch.is_padding(section, range.clone()) || bytes.iter().all(|&b| b == 0)
            }),
            false => gap && (section.kind == SHT_NOBITS || section.bytes(range).iter().all(|&b| b == 0)),
        }
    }

    /// Where the glue's own references lead.
    fn reached_by_glue(&self) -> BTreeSet<(SecId, u64)> {
        let module = self.finished.object;
        let mut found = BTreeSet::new();
        for (id, section) in module.sections.iter().enumerate().filter(|(_, s)| s.is_alloc()) {
            for r in self.finished.relocs_in(id, 0..section.size) {
                if self.piece_at(id, r.offset as i64).is_some() {
                    continue;
                }
                let symbol = &module.symbols[r.symbol];
                let Some(home) = symbol.section() else { continue };
                let bias = if section.is_text() { module.arch.bias(section, 0..0, r) } else { 0 };
                let at = (symbol.value as i64).wrapping_add(r.addend).wrapping_add(bias);
                found.insert((home, at.max(0) as u64));
            }
        }
        found
    }

    /// Data that the glue refers to: names, and constants of its code. Code has to have a symbol.
    fn is_of_glue(&self, id: SecId, range: Range<u64>, reached: &BTreeSet<(SecId, u64)>) -> bool {
        let section = &self.finished.object.sections[id];
        // What refers to an entry of a TOC is compared with what the patched object has in it: one that is left is the glue's.
        if self.finished.object.arch.is_toc(&section.name) {
            return true;
        }
        if section.is_text() || section.is_writable() {
            return false;
        }
        let bytes = section.bytes(range.clone());
        let begin = bytes.iter().position(|&b| b != 0).map_or(range.end, |n| range.start + n as u64);
        reached.range((id, range.start)..=(id, begin)).next().is_some() || begin == range.end
    }
}
