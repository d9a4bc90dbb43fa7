// SPDX-License-Identifier: GPL-2.0-or-later
//! Originals, rebuilt as they were shipped: units in; their objects out to a function that compares them with what is
//! shipped; compiled a second time if that is needed.

use crate::compile;
use crate::target::kbuild::Unit;
use crate::target::Target;
use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;

/// Which time objects are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Compiled without debug information, which is faster. gcc makes the same code without it, but for rare cases.
    First,
    /// Those in doubt, compiled once more with the debug flags of kbuild. Doubts that are left are right.
    Last,
}

/// Who compares the objects of a round, each with the number of its unit, and gives the numbers of those in doubt.
pub type Compare<'c> = dyn FnMut(Round, &[(usize, &[u8])]) -> Result<BTreeSet<usize>> + 'c;

/// Compiles `units` as they were shipped, and those that `compare` finds in doubt once more, as kbuild does. `known` are the objects of the
/// first round, if they were compiled before.
///
/// # Errors
/// A unit that does not compile, and those of `compare`.
pub fn rebuild(
    target: &Target,
    units: &[&Unit],
    known: Option<Vec<&[u8]>>,
    work: &Path,
    compare: &mut Compare<'_>,
) -> Result<()> {
    let doubts = match known {
        Some(known) => compare(Round::First, &known.into_iter().enumerate().collect::<Vec<_>>())?,
        None => {
            let objects = compile::compile_shipped(target, units, false, work)?;
            compare(Round::First, &objects.iter().map(Vec::as_slice).enumerate().collect::<Vec<_>>())?
        }
    };
    if doubts.is_empty() {
        return Ok(());
    }
    let again: Vec<&Unit> = doubts.iter().map(|&n| units[n]).collect();
    let objects = compile::compile_shipped(target, &again, true, work)?;
    let numbered: Vec<_> = doubts.into_iter().zip(objects.iter().map(Vec::as_slice)).collect();
    compare(Round::Last, &numbered).map(drop)
}
