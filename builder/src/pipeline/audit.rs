// SPDX-License-Identifier: GPL-2.0-or-later
//! Calls the audit: the units as they were compiled, what is proven about them, and the module in; what the audit shows out.

use super::unit::{Changed, Resolved};
use crate::audit::kernel::{audit_module, Kernel};
use crate::audit::statics::{self, Statics};
use crate::audit::{self, Shown};
use crate::elf::read::Take;
use crate::elf::{self, Object};
use crate::image::indirect::IndirectCalls;
use crate::image::module::Module;
use crate::image::symvers::Symvers;
use crate::image::Image;
use crate::progress;
use crate::prove::all_units::Unproven;
use crate::source::fixed::Fixed;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// What a module is read against, besides the units that it was built from.
pub struct Against<'a> {
    /// The lines that the fixes change.
    pub fixed: &'a Fixed,
    /// What was let through without a proof.
    pub unproven: &'a [Unproven],
    /// The kernel's image.
    pub image: &'a Image,
    /// Its modules that are patched or used.
    pub modules: &'a BTreeMap<String, Module>,
    /// What it exports.
    pub symvers: &'a Symvers,
}

/// Reads the module `ko` again, against the patched objects and the shipped kernel.
///
/// # Errors
/// [`Refused`](crate::error::Refused) with what cannot be shown.
pub fn read_again(ko: &[u8], units: &[Resolved<'_>], against: &Against<'_>) -> Result<Shown> {
    let Against { fixed, unproven, image, modules, symvers } = *against;
    let step = progress::step("reading the module against the patched objects");
    let statics = units.iter().map(|unit| declarations(unit, fixed)).collect::<Result<Vec<_>>>()?;
    let read: Vec<audit::Unit<'_>> = units
        .iter()
        .zip(&statics)
        .map(|(unit, statics)| audit::Unit {
            source: unit.source(),
            module: unit.module(),
            patched: unit.moved.map_or(unit.patched, |(_, patched)| patched),
            original: &unit.rebuilt,
            like: unit.moved.map_or(unit.original, |(original, _)| original),
            statics,
        })
        .collect();
    let kernel = Kernel {
        units: read.iter().zip(units.iter().map(|unit| unit.proof.proof())).collect(),
        image,
        modules,
        symvers,
        indirect: IndirectCalls::new(image, modules),
        allowed: unproven.iter().map(|u| u.function.as_str()).collect(),
    };
    let shown = audit_module(ko, &read, &kernel)?;
    step.done(&shown.to_string());
    Ok(shown)
}

/// Where the variables of a unit are declared, patched and original. Code that moves is compiled without debug information; the
/// names are the same as in the pair that has it, or they are not believed.
fn declarations(unit: &Changed<'_>, fixed: &Fixed) -> Result<[Statics; 2]> {
    let [original, mut patched] = match &unit.declared {
        Some(declared) => declared.clone(),
        None => [external(unit, &unit.pair.original)?, external(unit, &unit.pair.patched)?],
    };
    for declared in patched.values_mut() {
        declared.line = declared.line.and_then(|n| fixed.original_number(&declared.file, n, &declared.function));
    }
    if let Some((_, moved)) = unit.moved {
        let sizes = |object: &Object| -> BTreeMap<String, u64> {
            let defined = object.symbols.iter().filter(|s| s.section().is_some());
            defined.map(|s| (s.name.clone(), s.size)).collect()
        };
        let (plain, moved) = (sizes(unit.patched), sizes(moved));
        patched.retain(|name, _| plain.get(name) == moved.get(name));
    }
    Ok([patched, original])
}

/// Where the variables are declared that other units know, which line tables tell too. Objects that were compiled with more, to compare
/// types, say no more here: whether static variables are told apart by their declarations does not depend on that.
fn external(unit: &Changed<'_>, bytes: &[u8]) -> Result<Statics> {
    let read = || -> Result<Statics> {
        let object = elf::read::read(bytes, Take::NoDebug)?;
        let mut all = statics::read(bytes, &object)?;
        let local: BTreeSet<&str> = object.symbols.iter().filter(|s| s.is_local()).map(|s| s.name.as_str()).collect();
        all.retain(|name, _| !local.contains(name.as_str()));
        Ok(all)
    };
    read().with_context(|| format!("{}: debug information", unit.pair.unit.object))
}
