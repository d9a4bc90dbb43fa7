// SPDX-License-Identifier: GPL-2.0-or-later
//! What the author of a fix asked to leave out, with kpatch's macros (kpatch's kmod/patch/kpatch-macros.h):
//! KPATCH_IGNORE_FUNCTION and KPATCH_IGNORE_SECTION.

use super::view::{Ref, View};
use crate::elf::SecId;
use std::collections::BTreeSet;

/// What the macros name.
#[derive(Clone, Debug, Default)]
pub struct Ignored {
    functions: BTreeSet<String>,
    sections: BTreeSet<String>,
}

/// True for the sections that the macros fill.
pub fn is_macro_section(name: &str) -> bool {
    name.starts_with(".kpatch.")
}

impl Ignored {
    /// Reads `.kpatch.ignore.functions` (pointers to functions) and `.kpatch.ignore.sections` (pointers to
    /// strings) of the patched object.
    pub fn of(view: &View<'_>) -> Self {
        let mut ignored = Self::default();
        for (id, section) in view.object.sections.iter().enumerate() {
            let names = match section.name.as_str() {
                ".kpatch.ignore.functions" => &mut ignored.functions,
                ".kpatch.ignore.sections" => &mut ignored.sections,
                _ => continue,
            };
            for r in &section.relocs {
                match view.reference(id, r.offset..r.offset + 1, r) {
                    Ref::Item { item, .. } if section.name.ends_with("functions") => {
                        names.insert(view.items[item].name.clone());
                    }
                    Ref::Item { item, .. } => {
                        names.insert(text(view, view.items[item].section, view.items[item].range.start));
                    }
                    Ref::String { section, start, .. } => {
                        names.insert(text(view, section, start));
                    }
                    _ => {}
                }
            }
        }
        ignored
    }

    /// True where a change of this function is to be left out.
    pub fn function(&self, name: &str, section: &str) -> bool {
        self.functions.contains(name) || self.sections.contains(section)
    }

    /// True where a change of data in this section is to be left out.
    pub fn section(&self, section: &str) -> bool {
        self.sections.contains(section)
    }
}

fn text(view: &View<'_>, section: SecId, start: u64) -> String {
    String::from_utf8_lossy(crate::elf::strings::string_at(&view.object.sections[section], start)).into_owned()
}
