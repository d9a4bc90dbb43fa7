// SPDX-License-Identifier: GPL-2.0-or-later
//! Which files can see what a fix changes in headers: the headers' texts before and after in, the files that may see it
//! out. It is told from the text of the whole tree, in seconds.
//!
//! Both texts are cut into what stands at file scope (`chunks.rs`), and compared (`changed.rs`). Comments and blanks do not
//! count; the numbers of lines do where `__LINE__` may. What is not the same gives some names another meaning: a macro, a
//! `static inline` function, a declaration, a type. A file cannot see the change unless it, or what it includes, uses
//! one of these names. So they are followed:
//!
//! - **Macros** with such a name in their value have another meaning too; so has a `static inline` function, and a
//!   declaration. Nothing else is done by defining or declaring them, if nobody refers to them: that is what
//!   `compile/tokens.rs` builds on as well, and [`Macros::loud`] looks for what speaks against it.
//! - **Anything else** in a header that has one in it (a type, a condition, a variable's definition, the call of a macro at
//!   file scope, what is not understood) makes the header *hot*: every file that includes it sees the change. A changed
//!   type is no more than its names: who uses a member got the object by way of a declaration that names the type,
//!   or of one that is followed from there. A touched header that is hot itself is seen by all.
//! - **C and assembler files** with such a name in them, in comments or strings too, are hot, and so are those that get one
//!   from a flag in a makefile, and those of which the index does not know all that they include.
//! - **Names that are put together** (`##`) stand nowhere: see `paste.rs`.
//!
//! A function or type that is declared by the name of a macro is another; what the macro stands for is followed as
//! well. `__COUNTER__` may count further in a file that is left out, which tells names apart and means nothing.
//!
//! Not seen: what stands in headers that are generated and not there yet; macros that a makefile's flags define
//! and that are handed to a `##`; and a macro that puts a name together with less than three letters of its own and is itself
//! called by a name that is put together so.

mod changed;
mod chunks;
mod kinds;
mod macros;
mod paste;
mod text;
mod words;

use super::includes::{each_text, walk, Includers, Index};
use super::TouchedFile;
use crate::compile::tokens;
use anyhow::Result;
use chunks::Chunk;
use kinds::Kind;
use macros::Macros;
use paste::{Chains, Weak};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use words::Finder;

/// More names than that are not followed.
const MOST_NAMES: usize = 500;

/// Headers that no more files include are kept with all of them, when it is not plain which names their macros make.
const NARROW: usize = 150;

/// Which files can see what is changed in a header.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// All that include it may, for this reason.
    ByAll(String),
    /// No others than these.
    By(BTreeSet<String>),
}

/// What is known so far.
struct Search<'a> {
    tree: &'a Path,
    files: &'a [String],
    macros: Macros,
    /// Names whose meaning is another with the fix.
    names: BTreeSet<Vec<u8>>,
    /// Those among them that are the compiler's and not the preprocessor's.
    code: BTreeSet<Vec<u8>>,
    /// Names that were not looked for yet.
    fresh: BTreeSet<Vec<u8>>,
    /// Files that make every file that includes them see the change, and why.
    hot: BTreeMap<u32, String>,
    /// Files that may make such a name with a macro of another: that other file's number first.
    pairs: BTreeMap<u32, BTreeSet<u32>>,
    /// What stands in the touched headers beside what is changed, by the file's number.
    touched: BTreeMap<u32, Vec<Chunk>>,
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
    let mut changes = Vec::new();
    for (path, file) in headers {
        let number = index.files().binary_search_by(|f| f.as_str().cmp(path));
        let change = match (&file.original, &file.patched, number) {
            (Some(original), Some(patched), Ok(number)) => {
                changed::compare(original, patched).map(|c| (number as u32, c, patched))
            }
            _ => Err("it is added or taken away as a whole".into()),
        };
        match change {
            Ok(change) => changes.push((*path, change)),
            Err(why) => _ = answers.insert(path.to_string(), Seen::ByAll(why)),
        }
    }
    if changes.iter().all(|(_, (_, change, _))| change.changed.is_empty()) {
        answers.extend(changes.into_iter().map(|(path, _)| (path.to_string(), Seen::By(BTreeSet::new()))));
        return Ok(answers);
    }
    let mut search = Search {
        tree,
        files: index.files(),
        macros: Macros::collect(tree, index.files())?,
        names: BTreeSet::new(),
        code: BTreeSet::new(),
        fresh: BTreeSet::new(),
        hot: BTreeMap::new(),
        pairs: BTreeMap::new(),
        touched: BTreeMap::new(),
    };
    for (_, (number, _, patched)) in &changes {
        search.macros.add_text(patched, *number);
    }
    for (_, (number, change, _)) in &changes {
        search.touched.insert(*number, change.same.clone());
    }
    for (_, (number, change, _)) in &changes {
        for chunk in &change.changed {
            search.change(*number, chunk);
        }
    }
    let told = search.close(arch, includers)?;
    let kept = search.kept(index, includers);
    for (path, (number, ..)) in &changes {
        let why = search.hot.get(number).or(told.as_ref());
        let answer = match why {
            Some(why) => Seen::ByAll(why.clone()),
            None => Seen::By(kept.iter().map(ToString::to_string).collect()),
        };
        answers.insert(path.to_string(), answer);
    }
    Ok(answers)
}

/// The words of a chunk, those within strings too.
fn words_of(chunk: &Chunk) -> impl Iterator<Item = &[u8]> {
    chunk.tokens.iter().flat_map(|t| match t.first() {
        // A directive within a function.
        Some(b'#') => tokens::tokens(&t[1..]),
        _ => tokens::words(t).collect(),
    })
}

impl Search<'_> {
    /// A chunk of the header `file` means something else with the fix.
    fn change(&mut self, file: u32, chunk: &Chunk) {
        let text = || chunk.tokens.iter().map(Vec::as_slice);
        let quiet = |name: &[u8]| match self.macros.loud(text()) {
            Some(word) => Err(format!("{} comes with `{word}`, which may do more than define", show(name))),
            None if tokens::implied(name) => Err(format!("the compiler may call {}() of its own accord", show(name))),
            None => Ok(()),
        };
        let (names, code): (Vec<Vec<u8>>, bool) = match &chunk.kind {
            Kind::Define(name) | Kind::Undef(name) => (vec![name.clone()], false),
            Kind::Inline(name) | Kind::Prototype(name) | Kind::Variable(name) => match quiet(name) {
                Ok(()) => (vec![name.clone()], true),
                Err(why) => {
                    self.hot.entry(file).or_insert(why);
                    return;
                }
            },
            Kind::Type(names) => (names.clone(), true),
            Kind::Nothing => return,
            Kind::Other => {
                let begin = chunk.tokens.iter().take(8).map(|t| show(t)).collect::<Vec<_>>().join(" ");
                self.hot.entry(file).or_insert(format!("`{begin}` is not understood"));
                return;
            }
        };
        for name in names {
            self.name(&name, code);
        }
    }

    fn name(&mut self, name: &[u8], code: bool) {
        if code {
            self.code.insert(name.to_vec());
        }
        if self.names.insert(name.to_vec()) {
            self.fresh.insert(name.to_vec());
        }
    }

    /// Follows all names to what they are used in; says why that leads too far.
    fn close(&mut self, arch: &str, includers: &Includers<'_>) -> Result<Option<String>> {
        let pasting = Chains::collect(&self.macros);
        let known: RefCell<BTreeMap<u32, bool>> = RefCell::default();
        let files = self.files;
        let narrow = |file: u32| {
            *known.borrow_mut().entry(file).or_insert_with(|| {
                let path = files.get(file as usize).map(String::as_str);
                includers.closure_of(path).len() <= NARROW
            })
        };
        let mut weak = Weak::default();
        let (_, makefiles) = walk(self.tree, arch)?;
        let mut looked: BTreeSet<Vec<u8>> = BTreeSet::new();
        while !self.fresh.is_empty() {
            while !self.fresh.is_empty() {
                let fresh = std::mem::take(&mut self.fresh);
                looked.extend(fresh.iter().cloned());
                self.through_macros(&fresh)?;
                let makers = pasting.makers(&self.macros, &self.names, narrow)?;
                weak = makers.weak;
                makers.strong.iter().for_each(|name| self.name(name, false));
                for file in makers.files {
                    self.hot.entry(file).or_insert("it puts names together".into());
                }
                if self.names.len() > MOST_NAMES {
                    return Ok(Some(format!("more than {MOST_NAMES} names hang on it")));
                }
            }
            let fresh = std::mem::take(&mut looked);
            if let Some(why) = self.in_makefiles(&fresh, &makefiles)? {
                return Ok(Some(why));
            }
            self.in_files(&fresh, &weak)?;
            if self.touched.keys().all(|n| self.hot.contains_key(n)) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Adds the macros that have one of `fresh` in their text.
    fn through_macros(&mut self, fresh: &BTreeSet<Vec<u8>>) -> Result<()> {
        let mut more: Vec<(Vec<u8>, bool)> = Vec::new();
        for (found, _) in self.macros.with(&Finder::new(fresh)?) {
            let params = found.params.as_deref().unwrap_or_default();
            let own = found.body.iter().flat_map(|t| tokens::words(t)).filter(|w| !params.contains(w));
            let own: Vec<&[u8]> = own.collect();
            if own.iter().any(|w| fresh.contains(*w)) {
                more.push((found.name.to_vec(), false));
            }
            // A function that is declared by the name of a macro is another.
            if self.code.contains(found.name) {
                more.extend(own.into_iter().map(|w| (w.to_vec(), true)));
            }
        }
        more.iter().for_each(|(name, code)| self.name(name, *code));
        Ok(())
    }

    /// Looks for `fresh`, and for calls that make a name, in all files.
    fn in_files(&mut self, fresh: &BTreeSet<Vec<u8>>, weak: &Weak) -> Result<()> {
        let plain: Vec<&[u8]> = fresh.iter().map(Vec::as_slice).collect();
        let called: Vec<&[u8]> = weak.macros.keys().map(Vec::as_slice).filter(|n| !fresh.contains(*n)).collect();
        let all: Vec<&[u8]> = plain.iter().chain(&called).copied().collect();
        let finder = Finder::new(&all)?;
        let macros = &self.macros;
        let look = |text: &[u8]| {
            let (mut spelled, mut calls) = (false, BTreeSet::new());
            for (word, at) in finder.find(text) {
                let name = all[word];
                spelled |= word < plain.len();
                if weak.macros.contains_key(name) && !calls.contains(&word) && !is_directive(text, at) {
                    let rest = &text[at + name.len()..];
                    if weak.call(name, rest, macros) {
                        calls.insert(word);
                    }
                }
            }
            (spelled, calls)
        };
        let found = each_text(self.tree, self.files, look)?;
        for (file, (spelled, calls)) in (0u32..).zip(found) {
            for word in calls {
                for by in weak.macros.get(all[word]).into_iter().flat_map(|(_, files)| files) {
                    self.pairs.entry(*by).or_default().insert(file);
                }
            }
            if spelled && !self.hot.contains_key(&file) {
                self.look(file, fresh)?;
            }
        }
        Ok(())
    }

    /// A file has one of `fresh` in its text.
    fn look(&mut self, file: u32, fresh: &BTreeSet<Vec<u8>>) -> Result<()> {
        let path = &self.files[file as usize];
        let chunks = match self.touched.get(&file) {
            Some(chunks) => Some(chunks.clone()),
            None if path.ends_with(".h") => chunks::chunks(&crate::files::read(&self.tree.join(path))?),
            None => {
                self.hot.insert(file, "it has one of the names in it".into());
                return Ok(());
            }
        };
        let Some(chunks) = chunks else {
            let why = format!("{path} has one of the names in it, and is not understood");
            self.hot.insert(file, why);
            return Ok(());
        };
        let has = |word: &[u8]| fresh.contains(word);
        for chunk in chunks {
            if chunk.context.split(|b| !tokens::is_word(*b)).any(has) {
                self.hot.entry(file).or_insert(format!("a condition in {path} hangs on it"));
                return Ok(());
            }
            if !words_of(&chunk).any(has) {
                continue;
            }
            match &chunk.kind {
                // Their macros are known.
                Kind::Define(_) | Kind::Undef(_) | Kind::Nothing => {}
                Kind::Type(_) | Kind::Other => {
                    let begin = chunk.tokens.iter().take(6).map(|t| show(t)).collect::<Vec<_>>().join(" ");
                    self.hot.entry(file).or_insert(format!("`{begin}` in {path} uses it"));
                    return Ok(());
                }
                _ => self.change(file, &chunk),
            }
        }
        Ok(())
    }

    /// Files that get one of `fresh` from a flag are hot; says so where all files do.
    fn in_makefiles(&mut self, fresh: &BTreeSet<Vec<u8>>, makefiles: &[String]) -> Result<Option<String>> {
        let finder = Finder::new(fresh)?;
        for makefile in makefiles {
            let text = std::fs::read(self.tree.join(makefile)).unwrap_or_default();
            let flags = text.split(|b| *b == b'\n').filter(|l| memchr::memmem::find(l, b"-D").is_some());
            if !flags.into_iter().any(|l| finder.find(l).next().is_some()) {
                continue;
            }
            let folder = makefile.rsplit_once('/').map_or("", |(d, _)| d);
            if folder.is_empty() || folder == "scripts" || folder.matches('/').count() < 2 && folder.starts_with("arch")
            {
                return Ok(Some(format!("{makefile} names one of the names")));
            }
            for (n, path) in (0u32..).zip(self.files) {
                if path.strip_prefix(folder).is_some_and(|r| r.starts_with('/')) {
                    self.hot.entry(n).or_insert(format!("{makefile} names one of the names"));
                }
            }
        }
        Ok(None)
    }

    /// All files that see the change, if they include what is changed.
    fn kept<'p>(&self, index: &'p Index, includers: &Includers<'p>) -> BTreeSet<&'p str> {
        let path = |n: &u32| index.files().get(*n as usize).map(String::as_str);
        let mut kept = includers.closure_of(self.hot.keys().filter_map(path).chain(index.blind()));
        for (by, files) in &self.pairs {
            let by = includers.closure_of(path(by));
            kept.extend(includers.closure_of(files.iter().filter_map(path)).intersection(&by).copied());
        }
        kept
    }
}

fn show(token: &[u8]) -> String {
    String::from_utf8_lossy(token).into_owned()
}

/// Whether the word at `at` stands in a definition, which the list of macros has, or is what a condition asks for.
fn is_directive(text: &[u8], at: usize) -> bool {
    let line = |at: usize| memchr::memrchr(b'\n', &text[..at]).map_or(0, |p| p + 1);
    let mut begin = line(at);
    while begin > 0 && text[..begin].trim_ascii_end().ends_with(b"\\") {
        begin = line(begin - 1);
    }
    let Some(rest) = text[begin..at].trim_ascii_start().strip_prefix(b"#") else { return false };
    let rest = rest.trim_ascii_start();
    rest.starts_with(b"define") || matches!(rest.trim_ascii_end(), b"undef" | b"ifdef" | b"ifndef")
}

#[cfg(test)]
mod tests;
