// SPDX-License-Identifier: GPL-2.0-or-later
//! Names that macros may put together (`##`) and that are nowhere as a whole: names in, the files whose macros may do that
//! out.
//!
//! Every `##` of the tree is looked at, with what is on either side: a chain. It makes names only in units with the file
//! that it is in. A chain with words of its own of three characters or more makes any name that has these words in it;
//! a shorter one (`a##b`, `a##_##b`) any that is put together of words of the tree so. What is pasted on begins an argument
//! or the value of a macro, so there is no `*x`, `.x` or `->x` of it. Not seen is a name that short chains put together of
//! what short ones have put together. In Linux 6.1 all that do so have a word of their own, or a number, in it
//! (`__UNIQUE_ID`).

use super::text::lines;
use super::words::Finder;
use crate::c::tokens::{is_word, tokens};
use crate::reach::includes::each_text;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A chain with so many characters of its own says what it makes.
const TELLING: usize = 3;

/// What is in a chain of `##`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leaf {
    /// A word of the macro's own.
    Own(Vec<u8>),
    /// One of its parameters.
    Given,
}

/// The names that some macro of the tree may put together, each with the numbers of the files of such macros.
///
/// # Errors
/// A file of the tree cannot be read.
pub fn possible<'n>(
    tree: &Path,
    files: &[String],
    names: &BTreeSet<&'n [u8]>,
) -> Result<BTreeMap<&'n [u8], BTreeSet<usize>>> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    // Every part that a name could be put together of.
    let from = |name: &'n [u8], at: usize| (at + 1..=name.len()).map(move |end| &name[at..end]);
    let parts: BTreeSet<&[u8]> =
        names.iter().flat_map(|n| (0..n.len()).flat_map(|at| from(n, at)).filter(|p| p.len() < n.len())).collect();
    let parts: Vec<&[u8]> = parts.into_iter().collect();
    let finder = Finder::new(parts.iter())?;
    let found = each_text(tree, files, |text| {
        let words: BTreeSet<(usize, bool)> =
            finder.find(text).map(|(n, at)| (n, may_begin(&text[..at], parts[n]))).collect();
        (chains(text), words)
    })?;
    let (mut words, mut pasted): (BTreeSet<&[u8]>, BTreeSet<&[u8]>) = (BTreeSet::new(), BTreeSet::new());
    let mut all: BTreeMap<Vec<Leaf>, BTreeSet<usize>> = BTreeMap::new();
    for (file, (chains, found)) in found.into_iter().enumerate() {
        words.extend(found.iter().map(|(n, _)| parts[*n]));
        pasted.extend(found.iter().filter(|(_, may)| *may).map(|(n, _)| parts[*n]));
        chains.into_iter().for_each(|chain| _ = all.entry(chain).or_default().insert(file));
    }
    let own =
        |chain: &[Leaf]| chain.iter().map(|l| if let Leaf::Own(word) = l { word.len() } else { 0 }).sum::<usize>();
    let mut made: BTreeMap<&[u8], BTreeSet<usize>> = BTreeMap::new();
    for (chain, files) in &all {
        let makes = |name: &[u8]| match own(chain) < TELLING {
            true => puts_together(chain, name, &words, &pasted),
            false => makes(chain, name),
        };
        names.iter().filter(|name| makes(name)).for_each(|name| made.entry(name).or_default().extend(files));
    }
    Ok(made)
}

/// Whether `word`, which comes behind `before`, may be the first word of an argument or of a macro's value. A word before it
/// may be a macro that leaves nothing. One behind `##` is part of a chain, and known by that where it is long.
fn may_begin(before: &[u8], word: &[u8]) -> bool {
    let mut last = before.trim_ascii_end();
    while let Some(rest) = last.strip_suffix(b"\\") {
        last = rest.trim_ascii_end();
    }
    last.last().is_none_or(|b| {
        is_word(*b) || matches!(b, b'(' | b')' | b',' | b'/' | b'"') || (*b == b'#' && word.len() < TELLING)
    })
}

/// The chains of a text, in all its macros.
pub(super) fn chains(text: &[u8]) -> Vec<Vec<Leaf>> {
    if memchr::memmem::find(text, b"##").is_none() {
        return Vec::new();
    }
    let is_define = |line: &[u8]| line.strip_prefix(b"#").is_some_and(|l| l.trim_ascii_start().starts_with(b"define"));
    let lines =
        lines(text).into_iter().filter(|l| is_define(&l.text) && memchr::memmem::find(&l.text, b"##").is_some());
    lines.flat_map(|line| chains_of(&line.text)).collect()
}

fn chains_of(define: &[u8]) -> Vec<Vec<Leaf>> {
    let line = define[1..].trim_ascii_start();
    let line = line.strip_prefix(b"define").unwrap_or(line).trim_ascii_start();
    let name = line.iter().position(|b| !is_word(*b)).unwrap_or(line.len());
    let (mut given, mut body): (Vec<&[u8]>, &[u8]) = (Vec::new(), &line[name..]);
    if let Some((list, rest)) =
        body.strip_prefix(b"(").and_then(|b| Some(b.split_at(b.iter().position(|b| *b == b')')?)))
    {
        given = list.split(|b| *b == b',').map(|p| p.trim_ascii().trim_ascii_end()).collect();
        // `args...`
        given.iter_mut().for_each(|p| *p = p.strip_suffix(b"...").unwrap_or(p).trim_ascii());
        body = rest;
    }
    let leaf = |token: &[u8]| match given.contains(&token) || token == b"__VA_ARGS__" {
        true => Leaf::Given,
        false => Leaf::Own(token.to_vec()),
    };
    // A `#` at the beginning would be taken for a directive.
    let body = [b"_ ", body].concat();
    let tokens = &tokens(&body)[1..];
    let mut out: Vec<Vec<Leaf>> = Vec::new();
    let mut open = false;
    for (at, token) in tokens.iter().enumerate() {
        if *token != b"##" {
            open &= at > 0 && tokens[at - 1] == b"##";
            continue;
        }
        let (Some(before), Some(after)) = (at.checked_sub(1).map(|b| tokens[b]), tokens.get(at + 1)) else { continue };
        match out.last_mut().filter(|_| open) {
            Some(chain) => chain.push(leaf(after)),
            None => out.push(vec![leaf(before), leaf(after)]),
        }
        open = true;
    }
    out
}

/// Whether a chain makes `name` of some `words`, of which all but the first are `pasted` on.
fn puts_together(chain: &[Leaf], name: &[u8], words: &BTreeSet<&[u8]>, pasted: &BTreeSet<&[u8]>) -> bool {
    match chain.split_first() {
        None => name.is_empty(),
        Some((Leaf::Own(word), rest)) => {
            name.strip_prefix(word.as_slice()).is_some_and(|n| puts_together(rest, n, pasted, pasted))
        }
        // An argument may be nothing.
        Some((Leaf::Given, rest)) => (0..=name.len()).any(|at| {
            (at == 0 || words.contains(&name[..at]))
                && puts_together(rest, &name[at..], if at == 0 { words } else { pasted }, pasted)
        }),
    }
}

/// Whether a chain can make `name`.
fn makes(chain: &[Leaf], name: &[u8]) -> bool {
    match chain.split_first() {
        None => name.is_empty(),
        Some((Leaf::Own(word), rest)) => name.strip_prefix(word.as_slice()).is_some_and(|n| makes(rest, n)),
        Some((Leaf::Given, rest)) if rest.first() == Some(&Leaf::Given) => makes(rest, name),
        Some((Leaf::Given, rest)) => (0..=name.len()).any(|at| makes(rest, &name[at..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    fn of(macros: &str, text: &str, name: &str) -> bool {
        made(macros, text, name).is_some()
    }

    fn made(macros: &str, text: &str, name: &str) -> Option<BTreeSet<usize>> {
        let dir = tempfile::tempdir().unwrap();
        files::write(&dir.path().join("a.h"), macros.as_bytes()).unwrap();
        files::write(&dir.path().join("b.c"), text.as_bytes()).unwrap();
        let list = ["a.h".to_string(), "b.c".into()];
        possible(dir.path(), &list, &BTreeSet::from([name.as_bytes()])).unwrap().into_values().next()
    }

    #[test]
    fn chains_with_words_of_their_own() {
        let class = "#define CLASS(_name, var) \\\n\tclass_##_name##_t var\n";
        assert!(of(class, "", "class_mutex_t") && of(class, "", "class__t"));
        assert!(!of(class, "", "class_mutex_u") && !of(class, "", "mutex"));
        assert_eq!(made(class, "", "class_mutex_t"), Some(BTreeSet::from([0])));
        assert!(of("#define ATTR(args...) attr_ ## args\n", "", "attr_x"));
        assert!(of("#define ATTR(a, b) b##_attr, a##_##b##_show x\n", "", "some_thing_show"));
        assert!(of("#define ATTR(a) #a, attr_##a\n", "", "attr_x") && of("#define ATTR # attr_##a\n", "", "attr_a"));
    }

    #[test]
    fn chains_without() {
        let paste = "#define PASTE(a, b) a##b\n#define JOIN(a, b) a##_##b\n";
        assert_eq!(made(paste, "PASTE(mas, _lock);", "mas_lock"), Some(BTreeSet::from([0])));
        assert!(of(paste, "JOIN(mas, lock);", "mas_lock"));
        assert!(
            of(paste, "PASTE(mas, \\\n/* the */ _lock);", "mas_lock")
                && of(paste, "mas\n#define L _lock\n", "mas_lock")
        );
        assert!(!of(paste, "PASTE(mas, x->_lock, *_lock);", "mas_lock"));
        assert!(!of(paste, "PASTE(mas, x);", "mas_lock"));
        // As many as a chain has.
        let three = "#define THREE(a, b, c) a##_##b##_##c\n";
        assert!(
            of(three, "THREE(mas, write, lock);", "mas_write_lock")
                && of(three, "THREE(, mas_write, lock)", "_mas_write_lock")
        );
        assert!(
            !of(three, "THREE(mas, x->write, lock);", "mas_write_lock")
                && !of(paste, "(mas, write, lock)", "mas_write_lock")
        );
        assert!(of("#define OWN(a) _##a\n", "OWN(mas_lock);", "_mas_lock"));
        // A chain's own words make what the chain makes.
        assert!(!of("#define RAW(op) raw_##op##_lock\n", "mas;", "mas_lock"));
        assert!(of("#define T(name) name##_t\n", "T(mas);", "mas_t"));
        assert!(!of("", "mas lock _lock", "masc_lock"));
    }
}
