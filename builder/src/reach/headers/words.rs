// SPDX-License-Identifier: GPL-2.0-or-later
//! Where some words are in a text, as whole words. Comments and literals count: that gives too much, never too little.

use crate::c::tokens::is_word;
use aho_corasick::{AhoCorasick, MatchKind};
use anyhow::{Context, Result};

/// A search for several words at a time.
pub struct Finder(AhoCorasick);

impl Finder {
    /// Prepares the search for `words`.
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Result<Self> {
        let made = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(words);
        made.map(Self).context("cannot look for the names that the fix changes")
    }

    /// The number of each word that is in `text`, with its place.
    pub fn find<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = (usize, usize)> + 't {
        // No match can begin within another that is no whole word: it would not begin at a word's begin.
        let whole = |m: &aho_corasick::Match| {
            (m.start() == 0 || !is_part(text[m.start() - 1])) && text.get(m.end()).is_none_or(|b| !is_part(*b))
        };
        self.0.find_iter(text).filter(whole).map(|m| (m.pattern().as_usize(), m.start()))
    }
}

/// Whether a word goes on with `b`. In assembler a name may come behind a dollar.
fn is_part(b: u8) -> bool {
    is_word(b) && b != b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words() {
        let finder = Finder::new(["foo", "foo_bar", "bar"]).unwrap();
        let found: Vec<_> = finder.find(b"foo_bars foo xfoo foo_bar(bar) foo_").collect();
        assert_eq!(found, [(0, 9), (1, 18), (2, 26)]);
        assert_eq!(finder.find(b"subq $foo, %rdi").next(), Some((0, 6)));
        assert_eq!(Finder::new([""; 0]).unwrap().find(b"foo").count(), 0);
    }
}
