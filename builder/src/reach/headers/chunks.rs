// SPDX-License-Identifier: GPL-2.0-or-later
//! A header cut into what is at file scope: its text in; macros, declarations and definitions out, each with the
//! conditions that it is under.
//!
//! What is declared under the name of a macro that is before it is [`Kind::Other`]: the macro may put other names there.
//! So is what has a macro of the header before or behind it that may declare something itself.
//! A text whose conditionals and brackets do not nest in each other is not understood. What is not plainly of a kind that
//! is known here is [`Kind::Other`].

use super::kinds::{classify, is_attribute, is_name, outer, Kind};
use super::text::lines;
use crate::c::tokens::{behind, is_word, tokens};
use std::collections::BTreeMap;

/// One thing at file scope.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The conditions that it is under, a line each, with those of the branches before.
    pub context: Vec<u8>,
    /// All of it.
    pub tokens: Vec<Vec<u8>>,
    /// The number of the line of each token, where the compiler may write it into the code.
    pub numbers: Vec<Option<u64>>,
    /// What it is.
    pub kind: Kind,
}

/// An open `#if`.
struct Level {
    context: Vec<u8>,
    /// It began within an item.
    inside: bool,
    /// Brackets that were open where it began, and at the end of its branches.
    before: usize,
    ends: Vec<usize>,
    /// It has an `#else`.
    complete: bool,
}

#[derive(Default)]
struct Cutter {
    out: Vec<Chunk>,
    levels: Vec<Level>,
    item: Vec<Vec<u8>>,
    numbers: Vec<Option<u64>>,
    depth: usize,
    /// The bracket that is open ends the item: that of a function's body, or of a macro's arguments.
    ends: bool,
    /// The macros so far that expand to something else than their names, and their expansions.
    macros: BTreeMap<Vec<u8>, Vec<Vec<Vec<u8>>>>,
}

/// Cuts `text`; None where it is not understood.
pub fn chunks(text: &[u8]) -> Option<Vec<Chunk>> {
    let mut cutter = Cutter::default();
    for line in lines(text) {
        if line.text.starts_with(b"#") {
            cutter.directive(&line.text, line.number)?;
        } else {
            for token in tokens(&line.text) {
                cutter.token(token, line.number)?;
            }
        }
    }
    (cutter.item.is_empty() && cutter.levels.is_empty()).then_some(cutter.out)
}

/// The name that a `#define` or `#undef` is about; its line without the directive's word in.
pub fn defined(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.trim_ascii_start();
    let name = &rest[..rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len())];
    (!name.is_empty()).then_some(name)
}

impl Cutter {
    fn context(&self) -> Vec<u8> {
        self.levels.iter().map(|l| l.context.as_slice()).collect::<Vec<_>>().join(&b'\n')
    }

    fn emit(&mut self, mut context: Vec<u8>, tokens: Vec<Vec<u8>>, numbers: Vec<Option<u64>>, kind: Kind) {
        // Where a macro is within a type or a function matters to what comes behind it there.
        if !self.item.is_empty() {
            context.extend(format!("\nwithin {}", self.item.len()).bytes());
        }
        self.out.push(Chunk { context, tokens, numbers, kind });
    }

    fn directive(&mut self, line: &[u8], number: Option<u64>) -> Option<()> {
        let rest = line[1..].trim_ascii_start();
        let word = &rest[..rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len())];
        let behind = &rest[word.len()..];
        let words: Vec<Vec<u8>> =
            [b"#".to_vec(), word.to_vec()].into_iter().chain(tokens(behind).into_iter().map(<[u8]>::to_vec)).collect();
        let joined = words.join(&b' ');
        match word {
            b"if" | b"ifdef" | b"ifndef" => {
                let inside = !self.item.is_empty();
                self.levels.push(Level {
                    context: joined.clone(),
                    inside,
                    before: self.depth,
                    ends: Vec::new(),
                    complete: false,
                });
            }
            b"else" | b"elif" | b"elifdef" | b"elifndef" | b"endif" => {
                let (open, depth) = (!self.item.is_empty(), self.depth);
                let level = self.levels.last_mut().filter(|l| l.inside == open)?;
                level.ends.push(depth);
                if word != b"endif" {
                    level.context.push(b'\n');
                    level.context.extend(&joined);
                    level.complete |= word == b"else";
                    self.depth = level.before;
                } else {
                    let same = level.ends.iter().all(|e| *e == depth) && (level.complete || depth == level.before);
                    self.levels.pop();
                    same.then_some(())?;
                }
            }
            b"define" | b"undef" => {
                let name = defined(behind)?.to_vec();
                // `#define A(x)` and `#define A (x)` are two things.
                let mut words = words;
                if behind.trim_ascii_start().get(name.len()) == Some(&b'(') {
                    words.insert(3, b"\x01".to_vec());
                }
                if word == b"define" && words.get(3) != Some(&name) {
                    self.macros.entry(name.clone()).or_default().push(words[3..].to_vec());
                }
                let kind = if word == b"define" { Kind::Define(name) } else { Kind::Other };
                let context = self.context();
                self.emit(context, words, Vec::new(), kind);
                return Some(());
            }
            b"error" | b"warning" | b"include" if !self.item.is_empty() => {}
            _ if !self.item.is_empty() => return None,
            b"" => return Some(()),
            _ => {
                let context = self.context();
                self.emit(context, words, vec![number], Kind::Other);
                return Some(());
            }
        }
        if !self.item.is_empty() {
            self.item.push(joined);
            self.numbers.push(number);
        }
        Some(())
    }

    fn token(&mut self, token: &[u8], number: Option<u64>) -> Option<()> {
        if self.item.is_empty() {
            self.ends = false;
        }
        match token {
            b"(" | b"[" | b"{" => {
                if self.depth == 0 {
                    self.ends = match token {
                        b"(" => invocation(&self.item),
                        b"{" => opens_body(&self.item)?,
                        _ => false,
                    };
                }
                self.depth += 1;
            }
            b")" | b"]" | b"}" => self.depth = self.depth.checked_sub(1)?,
            _ => {}
        }
        self.item.push(token.to_vec());
        self.numbers.push(number);
        let closed = self.ends && matches!(token, b")" | b"}");
        if self.depth == 0 && (closed || token == b";") {
            // The conditionals that began within it have to end within it.
            if self.levels.iter().any(|l| l.inside) {
                return None;
            }
            let (tokens, numbers) = (std::mem::take(&mut self.item), std::mem::take(&mut self.numbers));
            let kind = match classify(&tokens) {
                kind if kind.names().any(|name| self.macros.contains_key(name)) => Kind::Other,
                _ if self.brings_more(&tokens) => Kind::Other,
                kind => kind,
            };
            if kind != Kind::Nothing {
                let context = self.context();
                self.emit(context, tokens, numbers, kind);
            }
        }
        Some(())
    }

    /// Whether a macro outside of all brackets of an item may expand to more than attributes of what is declared.
    fn brings_more(&self, item: &[Vec<u8>]) -> bool {
        let item: Vec<&[u8]> = item.iter().map(Vec::as_slice).collect();
        outer(&item).into_iter().any(|(_, word)| !self.is_plain(word, 0))
    }

    /// Whether a word expands only to words, stars and attributes.
    fn is_plain(&self, word: &[u8], depth: usize) -> bool {
        let plain = |body: &Vec<Vec<u8>>| {
            let body: Vec<&[u8]> = body.iter().map(Vec::as_slice).collect();
            let mut at = 0;
            while let Some(token) = body.get(at) {
                let arguments = is_attribute(token) && body.get(at + 1) == Some(&&b"("[..]);
                match behind(&body, at + 1).filter(|_| arguments) {
                    Some(end) => at = end,
                    None if *token == b"*" || is_name(token) && self.is_plain(token, depth + 1) => at += 1,
                    None => return false,
                }
            }
            true
        };
        // One with parameters is none where no arguments follow, and known by its name where they do.
        let mut bodies = self.macros.get(word).into_iter().flatten().filter(|b| b.first().is_none_or(|t| t != b"\x01"));
        depth < 8 && bodies.all(plain)
    }
}

/// Whether a bracket after these tokens begins the arguments of a macro that makes something at file scope.
fn invocation(item: &[Vec<u8>]) -> bool {
    let [only] = item else { return false };
    !is_attribute(only) && !matches!(&only[..], b"typeof" | b"__typeof__" | b"__typeof")
}

/// Whether a brace after these tokens begins the body of a function; None where it begins nothing that is known.
fn opens_body(item: &[Vec<u8>]) -> Option<bool> {
    let (mut depth, mut brackets) = (0usize, false);
    for token in item {
        match &token[..] {
            b"(" | b"[" | b"{" => depth += 1,
            b")" | b"]" | b"}" => depth = depth.saturating_sub(1),
            b"=" if depth == 0 => return Some(false),
            _ => {}
        }
        brackets |= token == b"(";
    }
    let plain = |t: &&Vec<u8>| t.first().is_some_and(|b| is_word(*b));
    let kind = |t: &&Vec<u8>| matches!(&t[..], b"struct" | b"union" | b"enum");
    if item.iter().rev().take_while(plain).any(|t| kind(&t)) {
        return Some(false);
    }
    (item.is_empty() || brackets).then_some(true)
}
