// SPDX-License-Identifier: GPL-2.0-or-later
//! A spot check of fixes that reach many units: a few units are compared for changed types before all of them are
//! examined. What is most often wrong with such a fix is a type that changes in memory, and the author learns that at
//! once instead of after minutes.

use super::dwarf::Types;
use crate::compile::recompile::{recompile, How};
use crate::error::{Refusal, Refused};
use crate::image::symvers::Symvers;
use crate::reach::affected::{self, Affected};
use crate::reach::includes;
use crate::reach::includes::scan::Scanner;
use crate::source::{skeleton, PatchedTree};
use crate::target::kbuild::Unit;
use crate::target::Target;
use anyhow::Result;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

/// The refusal's code.
const TOO_MANY: &str = "reaches-too-many";

/// With fewer units than this, examining all of them takes no longer.
const MANY: usize = 40;

/// How many units are compared.
const ASKED: usize = 3;

/// How many files are tried, as some may be no units.
const TRIED: usize = 8;

/// Ends a build whose fix reaches many units and changes types.
///
/// # Errors
/// [`Refused`] with the types that change.
pub fn ask(
    target: &Target,
    tree: &PatchedTree,
    affected: &Affected,
    allowed: &BTreeSet<String>,
    work: &Path,
) -> Result<()> {
    if affected.doubtful.len() < MANY || !skeleton::may_change_types(tree) {
        return Ok(());
    }
    // Whatever goes wrong here goes wrong again, and is told, where it belongs.
    match found(target, tree, allowed, work).unwrap_or_default() {
        found if found.is_empty() => Ok(()),
        found => Err(Refused(found).into()),
    }
}

/// `error`, or, where it is a refusal for the number of units and some of them show a type that changes, one that names
/// these types too.
pub fn telling(
    error: anyhow::Error,
    target: &Target,
    tree: &PatchedTree,
    allowed: &BTreeSet<String>,
    work: &Path,
) -> anyhow::Error {
    let is_it = |r: &Refused| r.0.iter().any(|r| r.code == TOO_MANY);
    if !error.downcast_ref::<Refused>().is_some_and(is_it) || !skeleton::may_change_types(tree) {
        return error;
    }
    let found = found(target, tree, allowed, work).unwrap_or_default();
    match error.downcast::<Refused>() {
        Ok(refused) if !found.is_empty() => Refused([found, refused.0].concat()).into(),
        Ok(refused) => refused.into(),
        Err(error) => error,
    }
}

fn found(target: &Target, tree: &PatchedTree, allowed: &BTreeSet<String>, work: &Path) -> Result<Vec<Refusal>> {
    let symvers = Symvers::load(&target.symvers)?;
    for unit in units(target, tree)? {
        // One that does not compile alone says nothing.
        let Ok(objects) = recompile(target, tree, &[&unit], How::Types, work) else { continue };
        for (original, patched) in objects {
            let (original, patched) = (Types::read(&original)?, Types::read(&patched)?);
            let mut found = super::refusals(&original, &patched, allowed, &|name| symvers.get(name).is_some());
            if !found.is_empty() {
                found.iter_mut().for_each(|r| r.section = unit.source.clone());
                return Ok(found);
            }
        }
    }
    Ok(Vec::new())
}

/// Units that the fix touches itself, then those that include what it touches without a detour, then those that have most
/// of the words in it that it changes.
fn units(target: &Target, tree: &PatchedTree) -> Result<Vec<Unit>> {
    let touched: Vec<&str> = tree.files.keys().map(String::as_str).collect();
    let (sources, headers): (Vec<&str>, Vec<&str>) = touched.iter().partition(|p| p.ends_with(".c"));
    let words = changed_words(tree);
    let scanner = Scanner::default();
    let index = includes::index(target)?;
    let includers = index.includers();
    let reached: BTreeSet<String> = headers.iter().flat_map(|h| includers.closure(h)).collect();
    let reached: Vec<String> =
        reached.into_iter().filter(|p| p.ends_with(".c") && !sources.contains(&p.as_str())).collect();
    let ranks = includes::each_text(&target.tree, &reached, |text| {
        let names = scanner.scan(text).names;
        (headers.iter().any(|h| names.iter().any(|(_, name)| includes::may_be(name, h))), among(text, &words))
    })?;
    let mut ranked: Vec<((bool, usize), String)> =
        ranks.into_iter().zip(reached).filter(|((_, n), _)| *n > 0).collect();
    ranked.sort_by_key(|(rank, path)| (std::cmp::Reverse(*rank), path.clone()));
    let mut tried: Vec<&str> = sources;
    tried.extend(ranked.iter().map(|(_, path)| path.as_str()).take(TRIED));
    let mut units = affected::units_of(target, &tried)?.0;
    units.sort_by_key(|u| tried.iter().position(|p| *p == u.source));
    units.dedup_by(|a, b| a.source == b.source);
    units.truncate(ASKED);
    Ok(units)
}

/// The words in lines that only one side has.
fn changed_words(tree: &PatchedTree) -> HashSet<Vec<u8>> {
    let mut words = HashSet::new();
    for file in tree.files.values() {
        let lines = |text: &Option<Vec<u8>>| -> HashSet<Vec<u8>> {
            text.iter().flat_map(|t| t.split(|b| *b == b'\n')).map(<[u8]>::to_vec).collect()
        };
        let (old, new) = (lines(&file.original), lines(&file.patched));
        let is_comment = |line: &[u8]| [&b"*"[..], b"/*", b"//"].iter().any(|c| line.trim_ascii_start().starts_with(c));
        let changed = old.symmetric_difference(&new).filter(|line| !is_comment(line));
        words.extend(changed.flat_map(|line| words_of(line)).map(<[u8]>::to_vec));
    }
    words
}

fn words_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| !b.is_ascii_alphanumeric() && *b != b'_').filter(|w| w.len() > 3 && !w[0].is_ascii_digit())
}

/// How many of `words` a text has.
fn among(text: &[u8], words: &HashSet<Vec<u8>>) -> usize {
    words_of(text).filter(|w| words.contains(*w)).collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_once() {
        let words = HashSet::from([b"epc_sem".to_vec(), b"other".to_vec()]);
        assert_eq!(among(b"x->epc_sem = 1; epc_sem2; epc_sem;", &words), 1);
        assert_eq!(among(b"", &words), 0);
    }
}
