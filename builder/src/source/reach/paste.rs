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
use crate::compile::tokens::{behind, is_word, tokens};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// A part of a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaf {
    /// This.
    Text(Vec<u8>),
    /// What the parameter of that number becomes.
    Param(usize),
    /// A number.
    Digits,
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
        Some((Leaf::Digits, rest)) => {
            let most = name.iter().take_while(|b| b.is_ascii_digit()).count();
            (1..=most).any(|at| fits(rest, &name[at..]))
        }
        Some((_, rest)) if rest.iter().all(|l| matches!(l, Leaf::Any | Leaf::Param(_))) => true,
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
    /// What they may make.
    pub names: BTreeSet<Vec<u8>>,
    /// The chains of each, and the files without which it makes nothing.
    pub macros: BTreeMap<Vec<u8>, (BTreeSet<Chain>, BTreeSet<u32>)>,
}

impl Weak {
    fn add(&mut self, name: &[u8], file: u32, chain: Chain) -> bool {
        let (chains, files) = self.macros.entry(name.to_vec()).or_default();
        let mut new = files.insert(file);
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
            Some(arguments) => self.handed(chain, &arguments, None, macros),
            None => vec![vec![Leaf::Any]],
        };
        // Without arguments it is no call, unless it is handed on to be called.
        if !matches!(tokens.first(), Some(&(b"(" | b"," | b")"))) {
            return false;
        }
        chains.iter().flat_map(made).any(|chain| {
            let telling = weight(&chain) >= TELLING;
            self.names.iter().any(|n| fits(&chain, n)) || telling && self.macros.keys().any(|n| fits(&chain, n))
        })
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

impl Weak {
    /// The chains that one becomes with what a call in the macro `of`, or in a file, hands over.
    fn handed(&self, chain: &Chain, arguments: &[&[&[u8]]], of: Option<&Macro<'_>>, macros: &Macros) -> Vec<Chain> {
        let mut made: Vec<Chain> = vec![Vec::new()];
        for leaf in chain {
            let leaves = match leaf {
                Leaf::Param(n) => match arguments.get(*n) {
                    Some(argument) => self.argument(argument, of, macros),
                    // A call that lacks an argument is none.
                    None => return Vec::new(),
                },
                other => vec![vec![other.clone()]],
            };
            made = made.iter().flat_map(|m| leaves.iter().map(|l| [m.as_slice(), l].concat())).collect();
            if made.len() > MOST {
                return vec![vec![Leaf::Any]];
            }
        }
        made
    }

    /// What the end of an argument may be.
    fn argument(&self, argument: &[&[u8]], of: Option<&Macro<'_>>, macros: &Macros) -> Vec<Chain> {
        match argument {
            [] => vec![Vec::new()],
            [word] => {
                let params = of.and_then(|m| m.params.as_deref()).unwrap_or_default();
                match params.iter().position(|p| p == word) {
                    // The last may stand for several.
                    Some(own) if own + 1 == params.len() && of.is_some_and(|m| m.variadic) => vec![vec![Leaf::Any]],
                    Some(own) => vec![vec![Leaf::Param(own)]],
                    None => value(word, macros, 0),
                }
            }
            [name, rest @ ..] => match (self.macros.get(*name), arguments(rest)) {
                // One such macro within another.
                (Some((chains, _)), Some(inner)) if behind(rest, 0) == Some(rest.len()) => {
                    chains.iter().flat_map(|c| self.handed(c, &inner, of, macros)).collect()
                }
                _ => vec![vec![Leaf::Any]],
            },
        }
    }
}

/// What a word may become: itself, or what it stands for as a macro without arguments.
fn value(word: &[u8], macros: &Macros, depth: usize) -> Vec<Chain> {
    match word {
        b"__COUNTER__" | b"__LINE__" => return vec![vec![Leaf::Digits]],
        _ if word.starts_with(b"KBUILD_") || word.starts_with(b"__KBUILD_") || depth > 8 => {
            return vec![vec![Leaf::Any]];
        }
        _ if !is_word(word[0]) => return vec![vec![Leaf::Any]],
        _ => {}
    }
    let mut found = BTreeSet::from([vec![Leaf::Text(word.to_vec())]]);
    if macros.is_plain(word) {
        found.extend([vec![Leaf::Digits], Vec::new()]);
    }
    for of in macros.named(word).filter(|m| m.params.is_none()) {
        match of.body[..] {
            [] => _ = found.insert(Vec::new()),
            // What it is joined with is one of its ends, unless those are what another macro makes.
            [first, .., last] if last != b")" && !of.body.contains(&&b"##"[..]) && of.body[1] != b"(" => {
                for end in [first, last].into_iter().filter(|e| is_word(e[0])) {
                    found.extend(value(end, macros, depth + 1));
                }
            }
            [one] if one == word => {}
            [one] => found.extend(value(one, macros, depth + 1)),
            _ => _ = found.insert(vec![Leaf::Any]),
        }
    }
    found.into_iter().collect()
}

/// What may make one of some names.
#[derive(Default)]
pub struct Makers {
    /// Macros that are told by their own words.
    pub strong: BTreeSet<Vec<u8>>,
    /// Macros that are told by what they are handed.
    pub weak: Weak,
    /// Files with macros of which too little is known, and which few units include.
    pub files: BTreeSet<u32>,
}

/// The chains of a tree's macros: name, file, whether it hands all its arguments on ([`hands_on`]), chain.
pub struct Chains(Vec<(Vec<u8>, u32, bool, Chain)>);

impl Chains {
    /// Collects them.
    pub fn collect(macros: &Macros) -> Self {
        let of = |m: Macro<'_>| {
            let all = hands_on(&m);
            chains(&m).into_iter().map(move |c| (m.name.to_vec(), m.file, all, c)).collect::<Vec<_>>()
        };
        Self(macros.pasting().flat_map(of).collect())
    }

    /// What may make one of `names`. Calls are looked at for macros alone that stand in a file that is not `narrow`.
    ///
    /// # Errors
    /// There are too many names.
    pub fn makers(&self, macros: &Macros, names: &BTreeSet<Vec<u8>>, narrow: impl Fn(u32) -> bool) -> Result<Makers> {
        let mut makers = Makers::default();
        loop {
            let before = (makers.strong.len(), makers.weak.macros.len());
            for (name, file, all, chain) in &self.0 {
                makers.add(name, *file, &[*file], *all, chain, names, &narrow);
            }
            wrappers(macros, names, &mut makers, &narrow)?;
            if (makers.strong.len(), makers.weak.macros.len()) == before {
                makers.weak.names = names.clone();
                return Ok(makers);
            }
        }
    }
}

/// Whether a macro is `NAME(x...)` with a value that ends in `(x)`.
fn hands_on(of: &Macro<'_>) -> bool {
    match (of.params.as_deref(), of.body.as_slice()) {
        (Some([only]), [.., b"(", last, b")"]) => of.variadic && only == last,
        _ => false,
    }
}

impl Makers {
    /// Looks at a chain of the macro `name` in `file`, which makes nothing without the files in `without`. True where
    /// that is new.
    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        name: &[u8],
        file: u32,
        without: &[u32],
        hands_on: bool,
        chain: &Chain,
        names: &BTreeSet<Vec<u8>>,
        narrow: &impl Fn(u32) -> bool,
    ) -> bool {
        let made = names.iter().any(|n| fits(chain, n));
        let telling = weight(chain) >= TELLING;
        // A macro that is called by a name which this one makes.
        let called = self.weak.macros.keys().filter(|n| telling && n.as_slice() != name && fits(chain, n));
        let called: Vec<&Vec<u8>> = called.collect();
        if !made && called.is_empty() {
            return false;
        }
        if made && telling {
            return self.strong.insert(name.to_vec());
        }
        if narrow(file) {
            return self.files.insert(file);
        }
        let mut chains: BTreeSet<Chain> = BTreeSet::new();
        if !telling {
            chains.insert(chain.clone());
        } else {
            let any = |l: &Leaf| if matches!(l, Leaf::Param(_)) { Leaf::Any } else { l.clone() };
            for theirs in called.into_iter().filter_map(|n| self.weak.macros.get(n)).flat_map(|(chains, _)| chains) {
                chains.insert(if hands_on { theirs.clone() } else { theirs.iter().map(any).collect() });
            }
        }
        let mut new = false;
        for chain in chains {
            without.iter().for_each(|file| new |= self.weak.add(name, *file, chain.clone()));
        }
        new
    }
}

/// Adds the macros that call weak ones with words of their own or with their parameters.
fn wrappers(
    macros: &Macros,
    names: &BTreeSet<Vec<u8>>,
    makers: &mut Makers,
    narrow: &impl Fn(u32) -> bool,
) -> Result<()> {
    let mut more = true;
    while std::mem::take(&mut more) {
        let called: Vec<Vec<u8>> = makers.weak.macros.keys().cloned().collect();
        for (found, words) in macros.with(&Finder::new(&called)?) {
            let params = found.params.as_deref().unwrap_or_default();
            let words: BTreeSet<&[u8]> = words.into_iter().map(|w| called[w].as_slice()).collect();
            for (at, word) in found.body.iter().enumerate().filter(|(_, t)| words.contains(*t)) {
                if params.contains(word) {
                    continue;
                }
                let Some((chains, files)) = makers.weak.macros.get(*word).cloned() else { continue };
                let made: Vec<Chain> = match arguments(&found.body[at + 1..]) {
                    Some(arguments) => {
                        chains.iter().flat_map(|c| makers.weak.handed(c, &arguments, Some(&found), macros)).collect()
                    }
                    None if handed_on(&found.body, at) => vec![vec![Leaf::Any]],
                    None => continue,
                };
                // It makes nothing where the other is not defined.
                let files: Vec<u32> = files.into_iter().collect();
                for chain in made {
                    more |= makers.add(found.name, found.file, &files, hands_on(&found), &chain, names, narrow);
                }
            }
        }
    }
    Ok(())
}

/// Whether the macro named at `at` without arguments may get some later: it is an argument itself, or what the value
/// ends in.
fn handed_on(body: &[&[u8]], at: usize) -> bool {
    let before = at.checked_sub(1).map(|b| body[b]);
    match body.get(at + 1) {
        None => before != Some(b"##"),
        Some(&(b"," | b")")) => matches!(before, Some(b"(" | b",")),
        // The bracket of its arguments is not closed.
        Some(&b"(") => true,
        _ => false,
    }
}
