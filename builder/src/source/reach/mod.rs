// SPDX-License-Identifier: GPL-2.0-or-later
//! Which files can see what a fix adds to headers: the headers' texts before and after in, the files that may see it out.
//! It is told from the text of the whole tree, in seconds, where preprocessing takes minutes.
//!
//! Both texts are cut into what stands at file scope (`chunks.rs`), and compared (`changed.rs`). Comments and blanks do not
//! count; the numbers of lines do where `__LINE__` may. Where nothing differs, nobody sees a change. Where something is
//! changed, moved or taken away, or is added that is no plain declaration, all that include the header may see it, and the
//! preprocessor has to be asked. What is left are headers to which macros, `static inline` functions, declarations and
//! types are added, with names that stood nowhere in the tree:
//!
//! - A unit that has such a name in it, or a header with it, may see the change; so may one of whose includes the index
//!   does not know all. A name that stands in a makefile may be seen by all.
//! - Any other was compiled without that name. Its text now holds declarations more, which nothing in it refers to: the
//!   compiler makes nothing of them (`compile/tokens.rs` builds on that too). Tests for the name (`#ifdef`) have it in them.
//! - A name can be there without standing anywhere: put together by `##`. What is declared under such a name cannot be
//!   declared again by the fix, but as the same. A macro could change its meaning: `paste.rs` says when that may be.

pub mod changed;
pub mod chunks;
pub mod kinds;
mod paste;
mod text;
mod words;

use super::includes::{each_text, walk, Includers, Index};
use super::TouchedFile;
use crate::compile::tokens::{implied, HARMFUL};
use anyhow::Result;
use chunks::Chunk;
use kinds::Kind;
use memchr::memmem;
use paste::Made;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use words::Finder;

/// Which files can see what is changed in a header.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// All that include it may, for this reason.
    ByAll(String),
    /// No others than these.
    By(BTreeSet<String>),
}

/// Finds out which files can see the changes in `headers`.
///
/// # Errors
/// A file of the tree cannot be read.
pub fn seen(
    tree: &Path,
    arch: &str,
    index: &Index,
    includers: &Includers<'_>,
    headers: &[(&str, &TouchedFile)],
) -> Result<BTreeMap<String, Seen>> {
    let mut answers = BTreeMap::new();
    let mut added: BTreeMap<&str, Names> = BTreeMap::new();
    for (path, file) in headers {
        match names_added(file) {
            Ok(names) => _ = added.insert(path, names),
            Err(why) => _ = answers.insert(path.to_string(), Seen::ByAll(why)),
        }
    }
    let all: BTreeSet<&Vec<u8>> = added.values().flat_map(|n| n.all.iter()).collect();
    if all.is_empty() {
        answers.extend(added.into_keys().map(|path| (path.to_string(), Seen::By(BTreeSet::new()))));
        return Ok(answers);
    }
    let all: Vec<&Vec<u8>> = all.into_iter().collect();
    let finder = Finder::new(all.iter())?;
    // The numbers of the names in each file, by the file's number.
    let look = |text: &[u8]| finder.find(text).map(|(n, _)| n).collect::<BTreeSet<_>>();
    let spelled = each_text(tree, index.files(), look)?;
    let makefiles = walk(tree, arch)?.1.into_iter().filter(|m| tree.join(m).is_file()).collect::<Vec<_>>();
    // `-Dname=1`
    let look = |text: &[u8]| (0..all.len()).filter(|n| memmem::find(text, all[*n]).is_some()).collect::<Vec<_>>();
    let flags: BTreeSet<usize> = each_text(tree, &makefiles, look)?.into_iter().flatten().collect();
    let macros: BTreeSet<&[u8]> = added.values().flat_map(|n| n.macros.iter().map(Vec::as_slice)).collect();
    let pasted = paste::possible(tree, index.files(), &macros)?;
    for (path, names) in &added {
        let has = |found: &BTreeSet<usize>| found.iter().any(|n| names.all.contains(all[*n]));
        let made = || names.macros.iter().filter_map(|name| Some((name, pasted.get(name.as_slice())?)));
        let answer = match made().find(|(_, made)| **made == Made::Anywhere) {
            Some((name, _)) => {
                Seen::ByAll(format!("some macro may put the name {} together", String::from_utf8_lossy(name)))
            }
            None if has(&flags) => Seen::ByAll("a makefile has the name too".into()),
            None => {
                let may_make: BTreeSet<usize> = made()
                    .flat_map(|(_, made)| if let Made::With(files) = made { files.clone() } else { BTreeSet::new() })
                    .collect();
                let spelled = spelled.iter().enumerate().filter(|(n, found)| has(found) || may_make.contains(n));
                let files: Vec<&str> = spelled.map(|(n, _)| index.files()[n].as_str()).filter(|f| f != path).collect();
                let files = files.into_iter().chain(index.blind());
                Seen::By(includers.closure_of(files).into_iter().map(String::from).collect())
            }
        };
        answers.insert(path.to_string(), answer);
    }
    Ok(answers)
}

/// What a fix adds to a header.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    all: BTreeSet<Vec<u8>>,
    /// Those among them that are macros.
    macros: BTreeSet<Vec<u8>>,
}

/// The names that a fix adds to a header, if it does nothing else.
///
/// # Errors
/// What else it does.
fn names_added(file: &TouchedFile) -> Result<Names, String> {
    let (Some(original), Some(patched)) = (&file.original, &file.patched) else {
        return Err("it is added or taken away as a whole".into());
    };
    let change = changed::compare(original, patched)?;
    if let Some(chunk) = change.gone.first() {
        return Err(format!("it changes {}", told(chunk)));
    }
    let mut names = Names::default();
    for chunk in &change.new {
        if chunk.tokens.iter().any(|t| is_harmful(t)) {
            return Err(format!("it adds {}", told(chunk)));
        }
        match &chunk.kind {
            Kind::Define(name) => {
                names.macros.insert(name.clone());
                names.all.insert(name.clone());
            }
            // What it declares within may be another's.
            Kind::Inline(_) if chunk.tokens.iter().any(|t| t == b"extern") => {
                return Err(format!("it adds {}", told(chunk)));
            }
            Kind::Inline(name) | Kind::Prototype(name) | Kind::Variable(name) => _ = names.all.insert(name.clone()),
            Kind::Type(list) if !list.is_empty() => names.all.extend(list.iter().cloned()),
            _ => return Err(format!("it adds {}", told(chunk))),
        }
    }
    if let Some(name) = names.all.iter().find(|name| implied(name)) {
        return Err(format!("the compiler itself may use {}", String::from_utf8_lossy(name)));
    }
    // A name that was there before, in another branch of a condition for instance, is no new one.
    let finder = Finder::new(names.all.iter()).map_err(|e| e.to_string())?;
    let there = finder.find(original).map(|(n, _)| n).next();
    match there {
        None => Ok(names),
        Some(n) => {
            let name = names.all.iter().nth(n).map(|n| String::from_utf8_lossy(n).into_owned()).unwrap_or_default();
            Err(format!("it speaks of {name} already"))
        }
    }
}

/// Whether a word may say something about what others declare, or keep what nobody refers to.
fn is_harmful(token: &[u8]) -> bool {
    let bare = token.strip_prefix(b"__").map_or(token, |t| t.strip_suffix(b"__").unwrap_or(t));
    HARMFUL.iter().any(|h| h.as_bytes() == bare)
        || matches!(token, b"_Pragma" | b"__pragma" | b"__visible" | b"__ADDRESSABLE")
}

/// The first words of what stands there.
fn told(chunk: &Chunk) -> String {
    let words: Vec<_> = chunk.tokens.iter().take(6).map(|t| String::from_utf8_lossy(t)).collect();
    format!("`{}{}`", words.join(" ").replace('\u{1}', ""), if chunk.tokens.len() > 6 { " …" } else { "" })
}

#[cfg(test)]
mod tests;
