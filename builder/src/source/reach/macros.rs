// SPDX-License-Identifier: GPL-2.0-or-later
//! All macros of a tree: their names, and the text of those whose value has words in it.

use super::text::logical;
use super::words::Finder;
use crate::compile::tokens::{is_word, tokens, HARMFUL};
use crate::source::includes::each_text;
use anyhow::Result;
use memchr::memmem;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// The macros of a tree.
#[derive(Default)]
pub struct Macros {
    /// The definitions' lines from the name on, a newline between them.
    text: Vec<u8>,
    all: Vec<Entry>,
    /// By the hash of the name.
    by_name: HashMap<u64, Vec<u32>>,
    /// Of names whose value is a number, or nothing.
    plain: HashSet<u64>,
}

#[derive(Clone, Copy)]
struct Entry {
    from: usize,
    to: usize,
    file: u32,
}

/// One definition.
#[derive(Debug)]
pub struct Macro<'m> {
    /// Its name.
    pub name: &'m [u8],
    /// Those of its parameters; None where it takes none.
    pub params: Option<Vec<&'m [u8]>>,
    /// The last of them stands for any number of arguments.
    pub variadic: bool,
    /// Its value.
    pub body: Vec<&'m [u8]>,
    /// The file that it stands in, by number.
    pub file: u32,
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// What one file has.
#[derive(Default)]
struct Found {
    texts: Vec<Vec<u8>>,
    plain: Vec<u64>,
}

/// Whether a value is plainly a number that is part of no name.
fn is_hex(body: &[u8]) -> bool {
    body.strip_prefix(b"0x").is_some_and(|r| r.iter().all(|b| b.is_ascii_alphanumeric()))
}

fn definitions(text: &[u8], define: &memmem::Finder<'_>) -> Found {
    let mut found = Found::default();
    let mut behind = 0;
    for at in define.find_iter(text) {
        let begin = memchr::memrchr(b'\n', &text[..at]).map_or(0, |p| p + 1);
        if at < behind || text[begin..at].trim_ascii() != b"#" {
            continue;
        }
        let from = at + "define".len();
        let end = memchr::memchr(b'\n', &text[from..]).map_or(text.len(), |p| from + p);
        let line = text[from..end].trim_ascii();
        // Nearly all macros of the kernel are numbers of registers.
        let name = &line[..line.iter().position(|b| !is_word(*b)).unwrap_or(line.len())];
        let value = line[name.len()..].trim_ascii();
        if name.is_empty() || is_hex(value) {
            continue;
        }
        if value.iter().all(u8::is_ascii_digit) {
            found.plain.push(hash(name));
            continue;
        }
        let (line, len, _) = logical(&text[from..]);
        behind = from + len;
        found.texts.push(line);
    }
    found
}

impl Macros {
    /// Reads all of `files`.
    pub fn collect(tree: &Path, files: &[String]) -> Result<Self> {
        let define = memmem::Finder::new("define");
        let mut macros = Self::default();
        for (file, found) in (0u32..).zip(each_text(tree, files, |text| definitions(text, &define))?) {
            macros.plain.extend(found.plain);
            found.texts.iter().for_each(|text| macros.add(text, file));
        }
        Ok(macros)
    }

    /// Adds one, and those of a text that is not in the tree.
    pub fn add_text(&mut self, text: &[u8], file: u32) {
        let found = definitions(text, &memmem::Finder::new("define"));
        self.plain.extend(found.plain);
        found.texts.iter().for_each(|text| self.add(text, file));
    }

    fn add(&mut self, text: &[u8], file: u32) {
        let name = &text[..text.iter().position(|b| !is_word(*b)).unwrap_or(text.len())];
        self.by_name.entry(hash(name)).or_default().push(self.all.len() as u32);
        let from = self.text.len();
        self.text.extend_from_slice(text);
        self.all.push(Entry { from, to: self.text.len(), file });
        self.text.push(b'\n');
    }

    /// Whether there is a macro of that name whose value is a number, or nothing.
    pub fn is_plain(&self, name: &[u8]) -> bool {
        self.plain.contains(&hash(name))
    }

    /// The definitions of a name whose value is more than that.
    pub fn named<'m>(&'m self, name: &'m [u8]) -> impl Iterator<Item = Macro<'m>> + 'm {
        let all = self.by_name.get(&hash(name)).into_iter().flatten();
        all.map(|n| self.get(*n as usize)).filter(move |m| m.name == name)
    }

    fn get(&self, number: usize) -> Macro<'_> {
        let Entry { from, to, file } = self.all[number];
        let text = &self.text[from..to];
        let tokens = tokens(text);
        let name = tokens.first().copied().unwrap_or_default();
        if text.get(name.len()) != Some(&b'(') {
            let body = tokens.get(1..).unwrap_or_default().to_vec();
            return Macro { name, params: None, variadic: false, body, file };
        }
        let end = tokens.iter().position(|t| *t == b")").unwrap_or(tokens.len());
        let mut params: Vec<&[u8]> = tokens[..end].iter().skip(2).copied().filter(|t| *t != b",").collect();
        let variadic = params.pop_if(|t| *t == b"...").is_some();
        // `args...` has a name, `...` none.
        if variadic && tokens.get(end.saturating_sub(2)).is_none_or(|t| !is_word(t[0])) {
            params.push(b"__VA_ARGS__");
        }
        Macro { name, params: Some(params), variadic, body: tokens.get(end + 1..).unwrap_or_default().to_vec(), file }
    }

    /// The definitions whose text has a word of `finder` in it, each once, with the words' numbers.
    pub fn with(&self, finder: &Finder) -> Vec<(Macro<'_>, Vec<usize>)> {
        let mut found: Vec<(usize, Vec<usize>)> = Vec::new();
        for (word, at) in finder.find(&self.text) {
            let number = self.all.partition_point(|e| e.to <= at);
            match found.last_mut().filter(|(n, _)| *n == number) {
                Some((_, words)) => words.push(word),
                None => found.push((number, vec![word])),
            }
        }
        found.into_iter().map(|(n, words)| (self.get(n), words)).collect()
    }

    /// The definitions that put names together.
    pub fn pasting(&self) -> impl Iterator<Item = Macro<'_>> {
        let mut last = usize::MAX;
        memmem::find_iter(&self.text, "##").filter_map(move |at| {
            let number = self.all.partition_point(|e| e.to <= at);
            (std::mem::replace(&mut last, number) != number).then(|| self.get(number))
        })
    }

    /// What of a function nobody refers to would matter to the compiler all the same, once the macros in its text are
    /// expanded; None where nothing is.
    pub fn loud<'t>(&self, text: impl IntoIterator<Item = &'t [u8]>) -> Option<String> {
        let own: Vec<&[u8]> = text.into_iter().collect();
        if let Some(word) = loud(&own, None) {
            return Some(String::from_utf8_lossy(word).into_owned());
        }
        let mut seen: HashSet<&[u8]> = own.iter().copied().filter(|w| is_word(w[0])).collect();
        let mut next: Vec<&[u8]> = seen.iter().copied().collect();
        while let Some(word) = next.pop() {
            for number in self.by_name.get(&hash(word)).into_iter().flatten() {
                let found = self.get(*number as usize);
                if found.name != word {
                    continue;
                }
                if loud(&found.body, Some(&found)).is_some() {
                    return Some(String::from_utf8_lossy(word).into_owned());
                }
                let words = found.body.iter().copied().filter(|w| is_word(w[0]) && !w[0].is_ascii_digit());
                next.extend(words.filter(|w| seen.insert(w)));
            }
        }
        None
    }
}

/// A word that has the compiler make something of a function that nobody refers to (as in `compile/tokens.rs`).
fn loud<'t>(body: &[&'t [u8]], of: Option<&Macro<'_>>) -> Option<&'t [u8]> {
    let mut attribute = false;
    for (at, word) in body.iter().enumerate() {
        let bare = word.strip_prefix(b"__").and_then(|w| w.strip_suffix(b"__"));
        attribute |= matches!(*word, b"__attribute__" | b"__attribute");
        let harmful = |w: &[u8]| HARMFUL.iter().any(|h| h.as_bytes() == w);
        // A parameter may be any attribute.
        let given = |m: &Macro<'_>| m.params.iter().flatten().any(|p| p == word);
        let handed = body[..at].ends_with(&[b"__attribute__", b"(", b"("]) && of.is_some_and(given);
        let found = bare.is_some_and(harmful)
            || (attribute && harmful(word))
            || handed
            || matches!(*word, b"_Pragma" | b"__pragma")
            || (*word == b"extern" && at > 0 && of.is_none_or(|m| m.name != b"__compiletime_assert"))
            || (*word == b"extern" && at == 0 && of.is_some());
        if found {
            return Some(word);
        }
    }
    None
}
