// SPDX-License-Identifier: GPL-2.0-or-later
//! Constants that the proven functions of a unit use: sections of read-only data and their places in; functions whose
//! shipped constants differ from the rebuilt ones out.
//!
//! Code may be byte for byte the same while a table that it reads differs, and a live patch copies such tables (switch
//! tables, initial values, `CSWTCH`). A section is compared as a whole, because it is not always known which part of it
//! a function uses. What the linker merges is compared where it is referred to.

use super::{Run, Verdict};
use crate::elf::{Reloc, SecId};
use crate::image::shipped::{Leads, Piece, Spot};
use std::collections::HashMap;

impl Run<'_> {
    /// Takes the proof back of functions that use constants which differ.
    pub(super) fn check_constants(&mut self) {
        let wrong: HashMap<SecId, String> =
            self.proof.sections.iter().filter_map(|(&id, &base)| Some((id, self.constants(id, base)?))).collect();
        if wrong.is_empty() {
            return;
        }
        for (id, range) in self.functions() {
            let symbol = &self.object.symbols[id];
            let Some(section) = symbol.section() else { continue };
            let relocs = self.object.sections[section].relocs_in(range.clone());
            let used = relocs.iter().find_map(|r| Some((r, wrong.get(&self.home(r)?)?)));
            if let (Some((r, why)), Some(verdict)) = (used, self.proof.functions.get_mut(&symbol.name)) {
                if let Verdict::Proven(spot) = *verdict {
                    *verdict = Verdict::Differs { at: Some(spot), offset: r.offset - range.start, why: why.clone() };
                }
            }
        }
    }

    /// The section that a reference leads to in the end.
    fn home(&self, r: &Reloc) -> Option<SecId> {
        let home = self.object.symbols[r.symbol].section()?;
        if !self.object.arch.is_toc(&self.object.sections[home].name) {
            return Some(home);
        }
        let (_, held) = self.held(r)?;
        self.object.symbols[held?.symbol].section()
    }

    /// What differs in a section of constants that is at `base`.
    fn constants(&self, id: SecId, base: Spot) -> Option<String> {
        let section = &self.object.sections[id];
        let is_constant = section.name == ".rodata" || section.name.starts_with(".rodata.");
        if !is_constant || section.is_writable() || section.is_text() || section.data.is_empty() {
            return None;
        }
        if section.is_strings() || section.is_constants() {
            return None;
        }
        let len = section.data.len() as u64;
        let Some(theirs) = self.shipped.bytes(base, len) else {
            return Some(format!("the shipped kernel ends inside the constants of {}", section.name));
        };
        let piece = Piece { object: self.object, section: id, range: 0..len, spot: base };
        if let Some(at) = self.first_difference(&piece, theirs, &[]) {
            return Some(format!("it uses constants that differ at {}", self.shipped.describe(piece.place(at))));
        }
        section.relocs.iter().find_map(|r| {
            let symbol = &self.object.symbols[r.symbol];
            let known = *self.proof.sections.get(&symbol.section()?)?;
            let expected = known.moved(symbol.value as i64);
            match self.shipped.follow(&piece, r, self.object.arch.field(r.kind)?) {
                Leads::Place(place) if place != expected => Some(format!(
                    "it uses a table that has {} in the place of {}",
                    self.shipped.describe(place),
                    self.shipped.describe(expected)
                )),
                _ => None,
            }
        })
    }
}
