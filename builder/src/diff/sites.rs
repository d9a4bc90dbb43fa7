// SPDX-License-Identifier: GPL-2.0-or-later
//! What else refers to places inside functions, other than the special sections: a view in, references from data and
//! from tables into code out. Code that moves must not leave behind a table that names the old place.

use super::view::{ItemId, ItemKind, Ref, View};
use crate::elf::{SecId, SHT_NOTE};
use crate::special;
use crate::special::known::{class_of, Class};
use std::collections::HashMap;

/// A reference from outside of the code to a place inside of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The section with the reference.
    pub section: SecId,
    /// The named datum with it; None for a table without names.
    pub datum: Option<ItemId>,
    /// Where it leads, bytes from the function's entry.
    pub offset: i64,
}

/// Such references by function; less the constants without a name, which are extracted with their function.
pub fn sites(view: &View<'_>) -> HashMap<ItemId, Vec<Site>> {
    let mut found: HashMap<ItemId, Vec<Site>> = HashMap::new();
    for (id, section) in view.object.sections.iter().enumerate() {
        let class = class_of(&section.name);
        if !section.is_alloc()
            || section.is_text()
            || section.kind == SHT_NOTE
            || view.object.arch.is_toc(&section.name)
            || special::row_of(&section.name).is_some()
            || class == Some(Class::File)
        {
            continue;
        }
        for reloc in &section.relocs {
            let at = view.item_at(id, reloc.offset);
            let around = at.map_or(0..section.size, |item| view.items[item].range.clone());
            let datum = at.filter(|&item| view.items[item].kind == ItemKind::Data);
            let Ref::Item { item, addend } = view.reference(id, around.clone(), reloc) else { continue };
            // A pointer to a function's entry serves callers, whom livepatch redirects; a place that is changed at boot
            // may be there too.
            let is_entry = addend == 0 || view.object.arch.is_distance(section, around, reloc, addend);
            let inside = !is_entry || matches!(class, Some(Class::AtBoot(_)));
            let along = class == Some(Class::Data) && datum.is_none();
            if view.items[item].kind == ItemKind::Function && inside && !along {
                found.entry(item).or_default().push(Site { section: id, datum, offset: addend });
            }
        }
    }
    found
}
