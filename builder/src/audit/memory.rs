// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether the memory in which the running kernel has something is right for what new code does with it: a reference and a place in; nothing
//! out, or why not.

use super::things::{Named, ThingId};
use super::walk::{Site, Walk};
use super::Place;
use crate::special::storage::Storage;
use crate::special::{marks, writes};

impl Walk<'_> {
    /// Whether what the running kernel has at a place can serve new code that names it and was compiled for memory of a kind.
    pub fn stored(&self, site: &Site<'_>, name: &str, place: &Place, wanted: Option<Storage>) -> Result<(), String> {
        let Some(storage) = self.world.storage(place) else { return Ok(()) };
        let unit = &self.units[site.unit];
        let may_go = || marks::is_boundary(name) || marks::names_from_ref(unit.original, site.name, name);
        let is_gone = storage.is_gone() && !(unit.module.is_none() && may_go());
        if is_gone || wanted.is_some_and(|wanted| storage.cannot_serve(wanted)) {
            return Err(format!("the running kernel has {} in {storage}", self.world.describe(place)));
        }
        if storage.is_read_only() && !site.branch && self.writes(site, name) {
            return Err(format!(
                "it writes there, and the running kernel has {} in {storage}",
                self.world.describe(place)
            ));
        }
        let is_pointer = storage == Storage::Text
            && !(site.branch || site.entry || marks::is_boundary(name))
            && !marks::updates_static_call(unit.patched, site.name, name);
        match is_pointer.then(|| self.world.closed(place)).flatten() {
            Some(why) => {
                Err(format!("no indirect call may enter {} on a CPU with IBT: {why}", self.world.describe(place)))
            }
            None => Ok(()),
        }
    }

    /// True where code writes to what it names here, and the running function does not.
    fn writes(&self, site: &Site<'_>, name: &str) -> bool {
        let Some((section, range, at)) = site.code else { return false };
        let unit = &self.units[site.unit];
        let before = || writes::names(unit.original, site.name);
        writes::of(unit.patched, section, range.clone()).contains_key(&at) && !before().contains(name)
    }

    /// Code that writes by way of an address in a table: to what is there in the running kernel.
    pub fn through_slot(&self, site: &Site<'_>, unit: usize, slot: ThingId) -> Result<(), String> {
        let it = &self.things[unit].all[slot];
        for u in self.things[unit].uses(it.section, it.range.clone())? {
            let symbol = match u.names {
                Named::Outside(symbol, _) | Named::Thing(_, Some(symbol), _) => symbol,
                Named::Thing(thing, None, _) => match self.things[unit].all[thing].symbols.first() {
                    Some(&symbol) => symbol,
                    None => continue,
                },
                _ => continue,
            };
            let name = &self.units[unit].patched.symbols[symbol].name;
            let place = match u.names {
                Named::Outside(..) => match self.definition(unit, name)? {
                    Some((unit, id)) => self.kernels(unit, id),
                    None => self.world.meant(unit, name).map(Some),
                },
                _ => self.kernels(unit, symbol),
            };
            // What cannot be told is said where the table itself is read.
            let Ok(place) = place else { continue };
            let storage = place.as_ref().and_then(|place| self.world.storage(place));
            if let (Some(storage), Some(place)) = (storage.filter(|s| s.is_read_only()), place) {
                if self.writes(site, name) {
                    let place = self.world.describe(&place);
                    return Err(format!("it writes there, and the running kernel has {place} in {storage}"));
                }
            }
        }
        Ok(())
    }
}
