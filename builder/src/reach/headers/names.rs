// SPDX-License-Identifier: GPL-2.0-or-later
//! The names by which a change in a header is seen: its text before and after in, names out.

use super::changed::{compare, Change};
use super::chunks::Chunk;
use super::kinds::Kind;
use super::words::Finder;
use crate::c::tokens::{implied, HARMFUL};
use crate::source::TouchedFile;
use std::collections::BTreeSet;

/// What a fix adds to a header or changes in it. Who has none of these names sees nothing of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// All of them.
    pub all: BTreeSet<Vec<u8>>,
    /// Those among them that do something where a macro puts them together: macros, and what was there before the fix.
    pub made: BTreeSet<Vec<u8>>,
    /// What is changed itself and what is added, if no macro is among it: a unit that refers to any of it has its name
    /// in what the preprocessor leaves. Empty where one is.
    pub code: BTreeSet<Vec<u8>>,
}

/// The names of what a fix adds and changes in a header, and of what else in the header depends on that.
///
/// # Errors
/// What it is that all may see who include it.
pub fn names(file: &TouchedFile) -> Result<Names, String> {
    let (Some(original), Some(patched)) = (&file.original, &file.patched) else {
        return Err("it is added or taken away as a whole".into());
    };
    let change = compare(original, patched)?;
    let mut names = Names::default();
    for chunk in &change.gone {
        // Code is generated for a type without its name: by what has a member of it.
        let given = gives(chunk).filter(|_| !matches!(chunk.kind, Kind::Type(_)));
        names.all.extend(given.ok_or_else(|| format!("it changes {}", told(chunk)))?);
    }
    for chunk in &change.new {
        let given = gives(chunk).ok_or_else(|| format!("it adds {}", told(chunk)))?;
        if matches!(chunk.kind, Kind::Define(_)) {
            names.made.extend(given.iter().cloned());
        }
        names.all.extend(given);
    }
    let there: Vec<Vec<u8>> = {
        let finder = Finder::new(names.all.iter()).map_err(|e| e.to_string())?;
        let found: BTreeSet<usize> = finder.find(original).map(|(n, _)| n).collect();
        names.all.iter().enumerate().filter(|(n, _)| found.contains(n)).map(|(_, name)| name.clone()).collect()
    };
    names.made.extend(there);
    let is_macro = |chunk: &Chunk| matches!(chunk.kind, Kind::Define(_));
    if !change.gone.iter().chain(&change.new).any(is_macro) {
        names.code.clone_from(&names.all);
    }
    follow(&change, &mut names)?;
    match names.all.iter().find(|name| implied(name)) {
        Some(name) => Err(format!("the compiler itself may use {}", String::from_utf8_lossy(name))),
        None => Ok(names),
    }
}

/// Adds the names of what stays in the header and has one of the names in it, or in the conditions that it is under,
/// and so on.
fn follow(change: &Change, names: &mut Names) -> Result<(), String> {
    let mut rest: Vec<&Chunk> = change.rest.iter().collect();
    loop {
        let finder = Finder::new(names.all.iter()).map_err(|e| e.to_string())?;
        let has = |text: &[u8]| finder.find(text).next().is_some();
        let (with, without): (Vec<&Chunk>, Vec<&Chunk>) =
            rest.into_iter().partition(|chunk| has(&chunk.context) || chunk.tokens.iter().any(|t| has(t)));
        if with.is_empty() {
            return Ok(());
        }
        for chunk in with {
            let given = gives(chunk).ok_or_else(|| format!("what it changes is used by {}", told(chunk)))?;
            names.made.extend(given.iter().cloned());
            names.all.extend(given);
        }
        rest = without;
    }
}

/// The names by which others know what is there; None where it may do something without any.
pub(super) fn gives(chunk: &Chunk) -> Option<Vec<Vec<u8>>> {
    if chunk.tokens.iter().any(|t| is_harmful(t)) {
        return None;
    }
    // What it declares within may be another's.
    if matches!(chunk.kind, Kind::Inline(_)) && chunk.tokens.iter().any(|t| t == b"extern") {
        return None;
    }
    let names: Vec<Vec<u8>> = chunk.kind.names().cloned().collect();
    (!names.is_empty()).then_some(names)
}

/// Whether a word may say something about what others declare, or keep what no one refers to.
fn is_harmful(token: &[u8]) -> bool {
    let bare = token.strip_prefix(b"__").map_or(token, |t| t.strip_suffix(b"__").unwrap_or(t));
    HARMFUL.iter().any(|h| h.as_bytes() == bare)
        || matches!(token, b"_Pragma" | b"__pragma" | b"__visible" | b"__ADDRESSABLE")
}

/// The first words of what is there.
fn told(chunk: &Chunk) -> String {
    let words: Vec<_> = chunk.tokens.iter().take(6).map(|t| String::from_utf8_lossy(t)).collect();
    format!("`{}{}`", words.join(" ").replace('\u{1}', ""), if chunk.tokens.len() > 6 { " …" } else { "" })
}
