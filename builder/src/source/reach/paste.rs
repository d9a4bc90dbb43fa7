// SPDX-License-Identifier: GPL-2.0-or-later
//! Names that macros put together (`##`): the macros of a tree in; for a name, the macros that may make it out.
//!
//! Every operand of `##` is a word of the macro's own, a parameter, or the end of what a parameter became. So a chain of
//! them makes a name only if its own words fit it ([`Chain::fits`]). With three letters or digits of its own a chain tells a
//! name well enough: its macro counts as if the name stood in it. With fewer it would fit most names; there the calls
//! are looked at, in other macros and in the files, with the words that they hand over. An argument that is no single
//! word, or a macro's name, is taken for any word.

use super::macros::{Macro, Macros};
use super::words::Finder;
use crate::compile::tokens::{is_word, tokens};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// A part of a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaf {
    /// This.
    Text(Vec<u8>),
    /// What the parameter of that number becomes.
    Param(usize),
    /// Anything.
    Any,
}

/// What `##` puts together.
pub type Chain = Vec<Leaf>;

/// Letters and digits that tell a name.
const TELLING: usize = 3;

/// More chains than that of one macro count as one that makes anything.
const MOST: usize = 64;

/// How many letters and digits of its own a chain has.
fn weight(chain: &Chain) -> usize {
    let count = |leaf: &Leaf| match leaf {
        Leaf::Text(text) => text.iter().filter(|b| b.is_ascii_alphanumeric()).count(),
        _ => 0,
    };
    chain.iter().map(count).sum()
}

/// Whether `chain` may make `name`.
fn fits(chain: &[Leaf], name: &[u8]) -> bool {
    match chain.split_first() {
        None => name.is_empty(),
        Some((Leaf::Text(text), rest)) => name.strip_prefix(text.as_slice()).is_some_and(|name| fits(rest, name)),
        Some((_, rest)) if rest.iter().all(|l| !matches!(l, Leaf::Text(_))) => true,
        Some((_, rest)) => (0..=name.len()).any(|at| fits(rest, &name[at..])),
    }
}

/// The chains in the value of a macro.
fn chains(of: &Macro<'_>) -> Vec<Chain> {
    let leaf = |token: &[u8]| {
        let params = of.params.as_deref().unwrap_or_default();
        if let Some(number) = params.iter().position(|p| *p == token) {
            // What is variadic is more than a word.
            let many = of.variadic && number + 1 == params.len();
            return Some(if many { Leaf::Any } else { Leaf::Param(number) });
        }
        match token {
            b"__VA_ARGS__" | b"__VA_OPT__" | b")" => Some(Leaf::Any),
            _ => is_word(token[0]).then(|| Leaf::Text(token.to_vec())),
        }
    };
    let mut found = Vec::new();
    let mut at = 0;
    while at < of.body.len() {
        let mut chain: Chain = of.body.get(at).and_then(|t| leaf(t)).into_iter().collect();
        while of.body.get(at + 1) == Some(&&b"##"[..]) {
            chain.extend(of.body.get(at + 2).and_then(|t| leaf(t)));
            at += 2;
        }
        if chain.len() > 1 {
            found.push(chain);
        }
        at += 1;
    }
    found
}

/// The macros that may make one of some names, if they are handed the right words.
#[derive(Default)]
pub struct Weak {
    /// What they may make that matters: those names, and their own.
    pub names: BTreeSet<Vec<u8>>,
    /// The chains of each, and the files that it is defined in.
    pub macros: BTreeMap<Vec<u8>, (BTreeSet<Chain>, BTreeSet<u32>)>,
}

impl Weak {
    fn add(&mut self, of: &Macro<'_>, chain: Chain) -> bool {
        let (chains, files) = self.macros.entry(of.name.to_vec()).or_default();
        let mut new = files.insert(of.file);
        if chains.contains(&vec![Leaf::Any]) {
            return new;
        }
        if chains.len() >= MOST {
            chains.clear();
            new |= chains.insert(vec![Leaf::Any]);
        } else {
            new |= chains.insert(chain);
        }
        new
    }

    /// Whether a call of `name` in a file may make one of the names; what stands behind it is `rest`.
    pub fn call(&self, name: &[u8], rest: &[u8], macros: &Macros) -> bool {
        let Some((chains, _)) = self.macros.get(name) else { return false };
        let end = rest.len().min(4096);
        let tokens = tokens(&rest[..end]);
        let made = |chain: &Chain| match arguments(&tokens) {
            Some(arguments) => handed(chain, &arguments, &[], false, macros),
            None => vec![Leaf::Any],
        };
        chains.iter().map(made).any(|chain| self.names.iter().any(|n| fits(&chain, n)))
    }
}

/// The arguments that begin at a bracket; None where there is none.
fn arguments<'a, 't>(tokens: &'a [&'t [u8]]) -> Option<Vec<&'a [&'t [u8]]>> {
    if tokens.first() != Some(&&b"("[..]) {
        return None;
    }
    let (mut found, mut depth, mut from) = (Vec::new(), 0usize, 1);
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            b"(" => depth += 1,
            b")" if depth == 1 => {
                found.push(&tokens[from..at]);
                return Some(found);
            }
            b")" => depth -= 1,
            b"," if depth == 1 => {
                found.push(&tokens[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// A chain with the words that a call hands over; `params` are those of the macro that the call stands in.
fn handed(chain: &Chain, arguments: &[&[&[u8]]], params: &[&[u8]], variadic: bool, macros: &Macros) -> Chain {
    let leaf = |leaf: &Leaf| match leaf {
        Leaf::Param(n) => match arguments.get(*n) {
            Some([word]) => match params.iter().position(|p| p == word) {
                // The last may stand for several.
                Some(own) if own + 1 == params.len() && variadic => Leaf::Any,
                Some(own) => Leaf::Param(own),
                None if is_word(word[0]) && !macros.is_macro(word) => Leaf::Text(word.to_vec()),
                None => Leaf::Any,
            },
            _ => Leaf::Any,
        },
        other => other.clone(),
    };
    chain.iter().map(leaf).collect()
}

/// The macros that may make one of `names`: those that are told by their own words, and those that are not.
///
/// # Errors
/// There are too many names.
pub fn makers(macros: &Macros, names: &BTreeSet<Vec<u8>>) -> Result<(BTreeSet<Vec<u8>>, Weak)> {
    let (mut strong, mut weak) = (BTreeSet::new(), Weak::default());
    // Macros that are called by a name that is made in this way are as good as what they make.
    let mut wanted = names.clone();
    loop {
        let before = (strong.len(), weak.macros.len());
        for found in macros.pasting() {
            for chain in chains(&found).into_iter().filter(|c| wanted.iter().any(|n| fits(c, n))) {
                if weight(&chain) >= TELLING {
                    strong.insert(found.name.to_vec());
                } else {
                    weak.add(&found, chain);
                }
            }
        }
        wrappers(macros, &wanted, &mut strong, &mut weak)?;
        wanted.extend(weak.macros.keys().cloned());
        if (strong.len(), weak.macros.len()) == before {
            weak.names = wanted;
            return Ok((strong, weak));
        }
    }
}

/// Adds the macros that call those in `weak` with words of their own or with their parameters.
fn wrappers(macros: &Macros, names: &BTreeSet<Vec<u8>>, strong: &mut BTreeSet<Vec<u8>>, weak: &mut Weak) -> Result<()> {
    let mut more = true;
    while std::mem::take(&mut more) {
        let called: Vec<Vec<u8>> = weak.macros.keys().cloned().collect();
        for (found, words) in macros.with(&Finder::new(&called)?) {
            let params = found.params.as_deref().unwrap_or_default();
            let words: BTreeSet<&[u8]> = words.into_iter().map(|w| called[w].as_slice()).collect();
            for (at, word) in found.body.iter().enumerate().filter(|(_, t)| words.contains(*t)) {
                if params.contains(word) {
                    continue;
                }
                let made: Vec<Chain> = match arguments(&found.body[at + 1..]) {
                    Some(arguments) => {
                        let chains = weak.macros.get(*word).map(|(chains, _)| chains.iter()).into_iter().flatten();
                        chains.map(|c| handed(c, &arguments, params, found.variadic, macros)).collect()
                    }
                    None => vec![vec![Leaf::Any]],
                };
                for chain in made.into_iter().filter(|c| names.iter().any(|n| fits(c, n))) {
                    if weight(&chain) >= TELLING {
                        strong.insert(found.name.to_vec());
                    } else {
                        more |= weak.add(&found, chain);
                    }
                }
            }
        }
    }
    Ok(())
}
