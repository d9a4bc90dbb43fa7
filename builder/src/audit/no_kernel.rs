// SPDX-License-Identifier: GPL-2.0-or-later
//! The audit of extracted code without a target kernel: the original of the only unit in; out, what undefined symbols mean, by
//! their names.

use super::{Place, Root, World};
use crate::elf::{Object, SymKind, Symbol};
use crate::image::shipped::Spot;
use crate::special::storage::Storage;

/// One unit, and no kernel.
pub struct NoKernel<'a> {
    /// The original, with a section for each function and datum.
    pub original: &'a Object,
}

impl World for NoKernel<'_> {
    fn outside(&self, symbol: &Symbol) -> Result<Place, String> {
        self.of_unit(0, &symbol.name)
    }

    fn of_unit(&self, _unit: usize, name: &str) -> Result<Place, String> {
        let is_it = |s: &&Symbol| s.name == name && !matches!(s.kind, SymKind::Section | SymKind::File);
        let mut all = self.original.symbols.iter().filter(is_it).filter_map(|s| Some((s.section()?, s.value)));
        match (all.next(), all.next()) {
            (Some((space, at)), None) => Ok(Place::At(None, Spot { space, at })),
            (None, _) => Ok(Place::Named(name.into(), 0)),
            _ => Err(format!("the original has several symbols {name}")),
        }
    }

    fn defined(&self, _unit: usize, _name: &str) -> Result<Option<Place>, String> {
        Ok(None)
    }

    fn meant(&self, _unit: usize, name: &str) -> Result<Place, String> {
        Ok(Place::Named(name.into(), 0))
    }

    fn storage(&self, place: &Place) -> Option<Storage> {
        match place {
            Place::At(_, spot) => self.original.sections.get(spot.space).map(Storage::of),
            Place::Named(..) => None,
        }
    }

    fn describe(&self, place: &Place) -> String {
        match place {
            Place::At(_, Spot { space, at }) => {
                let section = self.original.sections.get(*space).map_or("?", |s| s.name.as_str());
                format!("{section}+{at:#x} of the original")
            }
            Place::Named(name, 0) => name.clone(),
            Place::Named(name, by) => format!("{name}{by:+}"),
        }
    }
}

/// The functions that an extract replaces: for each its name in the original and the symbol of the new code.
///
/// # Errors
/// A symbol that the extract does not have.
pub fn roots<'n>(
    extract: &Object,
    replaced: impl Iterator<Item = (&'n str, &'n str)>,
    world: &NoKernel<'_>,
) -> Result<Vec<Root>, String> {
    let root = |(old, symbol): (&str, &str)| {
        let found = extract.symbols.iter().find(|s| s.name == symbol);
        let at = found.and_then(|s| Some((s.section()?, s.value))).ok_or_else(|| format!("no symbol {symbol}"))?;
        Ok(Root { unit: 0, old_name: old.into(), old: world.of_unit(0, old)?, at })
    };
    replaced.map(root).collect()
}
