// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage audit: the second reader. A finished live patch, the patched objects as the compiler wrote them and what is proven of
//! the originals in; out, that the module holds nothing but pieces of those objects, whole, and that each of their
//! references leads to what the patched source names there; or what cannot be shown.
//!
//! It starts from the functions that the module registers and goes through the module and the patched objects side by side:
//! where a piece of an object is in the module, its bytes have to be the same, and each of its references has to lead to the
//! thing that the object names: to that thing in the module, which is compared in its turn, or to the place where
//! the proof found it in the shipped kernel. The stages that chose all this are not asked: diff, extract and resolve are not used
//! here.

mod clones;
mod entries;
mod finished;
mod glue;
pub mod kernel;
mod memory;
pub mod no_kernel;
mod originals;
mod per_place;
pub mod statics;
mod things;
mod walk;

use crate::elf::{Object, SecId, Symbol};
use crate::error::Refusal;
use crate::image::shipped::Spot;
use crate::special::layout::Layouts;
use crate::special::storage::Storage;
use serde::{Deserialize, Serialize};
use statics::Statics;
use std::fmt;

/// One unit of a fix.
pub struct Unit<'a> {
    /// Its source file.
    pub source: &'a str,
    /// The module it is part of; None for vmlinux.
    pub module: Option<&'a str>,
    /// The patched object that the live patch has its code from.
    pub patched: &'a Object,
    /// The original, as far as symbols go: the object that is proven.
    pub original: &'a Object,
    /// The original as it was compiled for comparison, with the options of the patched object.
    pub like: &'a Object,
    /// Where static variables are declared: in the patched object and in the original.
    pub statics: &'a [Statics; 2],
}

/// A place in the running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In vmlinux (None) or a module, as shipped.
    At(Option<String>, Spot),
    /// What has this name, and that many bytes after it; used if there is no shipped kernel.
    Named(String, i64),
}

impl Place {
    /// The place `by` bytes further on.
    #[must_use]
    pub fn moved(self, by: i64) -> Self {
        match self {
            Place::At(object, spot) => Place::At(object, spot.moved(by)),
            Place::Named(name, at) => Place::Named(name, at.wrapping_add(by)),
        }
    }
}

/// What is around the module: the running kernel, as it was shipped.
pub trait World {
    /// What the loader or livepatch finds for an undefined or livepatch symbol of the module.
    ///
    /// # Errors
    /// In words: it finds nothing, or several things.
    fn outside(&self, symbol: &Symbol) -> Result<Place, String>;
    /// Where the symbol `name` of the original of a unit (by its number) is.
    ///
    /// # Errors
    /// In words: that is not proven.
    fn of_unit(&self, unit: usize, name: &str) -> Result<Place, String>;
    /// Where the klp object of a unit has a global symbol of this name; None where it has none.
    ///
    /// # Errors
    /// In words: it has several.
    fn defined(&self, unit: usize, name: &str) -> Result<Option<Place>, String>;
    /// What a unit means by a name that it does not define.
    ///
    /// # Errors
    /// There is none, or it is unknown which; as text.
    fn meant(&self, unit: usize, name: &str) -> Result<Place, String>;
    /// In what memory a place is; None where that is not known.
    fn storage(&self, place: &Place) -> Option<Storage>;
    /// Why an indirect call may not enter the function at a place; None where it may, or where that is not known.
    fn closed(&self, _place: &Place) -> Option<&'static str> {
        None
    }
    /// A place in words.
    fn describe(&self, place: &Place) -> String;
}

/// A function of the module that takes the place of another.
#[derive(Clone, Debug)]
pub struct Root {
    /// The unit that the other one is from.
    pub unit: usize,
    /// The name of the other one.
    pub old_name: String,
    /// Where it is in the running kernel.
    pub old: Place,
    /// Where the new code is entered.
    pub at: (SecId, u64),
}

/// How much has been shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Functions that are those of the patched objects, byte for byte.
    pub functions: usize,
    /// Data and constants.
    pub data: usize,
    /// Entries of special sections.
    pub entries: usize,
    /// References that were looked at.
    pub references: usize,
    /// Those that point to what the source says.
    pub shown: usize,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shown, references, .. } = self;
        write!(f, "{shown} of {references} references of the new code point to what the source says")
    }
}

/// Reads `module` against `units`. With `glue`, what kmend itself puts beside the new code may be there too.
///
/// # Errors
/// What cannot be shown, with the code `not-shown`.
pub fn audit(
    module: &Object,
    units: &[Unit<'_>],
    roots: &[Root],
    world: &dyn World,
    layouts: &Layouts,
    glue: bool,
) -> Result<Shown, Vec<Refusal>> {
    let mut walk = walk::Walk::new(module, units, world, layouts).map_err(|why| vec![not_shown("", "", why)])?;
    walk.roots(roots);
    walk.all();
    walk.unreached(glue);
    walk.finish(glue);
    walk.result()
}

/// A refusal of this stage.
fn not_shown(symbol: &str, place: &str, why: String) -> Refusal {
    let hint = "this is a limit of kmend or a bug in it: please report it; leave this part of the fix out";
    Refusal::new("not-shown", symbol, place, why, hint)
}
