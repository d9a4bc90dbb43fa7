// SPDX-License-Identifier: GPL-2.0-or-later
//! What the older release says about the files of a fix: who includes a header, and what a member is set to.

use kmend_builder::reach::includes::Includers;
use regex::Regex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The older release, asked about.
pub trait Release {
    /// How many files may include `header`, which need not be there yet; None where `unit` does not.
    fn width(&self, header: &str, unit: &str) -> Option<usize>;

    /// The text of a file; None where it is not there yet.
    fn text(&self, path: &str) -> Option<String>;
}

/// What is known of a tree.
pub struct Seen<'a> {
    tree: &'a Path,
    includers: Includers<'a>,
    /// By header, what includes it.
    known: Mutex<HashMap<String, HashSet<String>>>,
}

impl<'a> Seen<'a> {
    /// Asks a tree and its index, which is made ready once.
    pub fn new(tree: &'a Path, includers: Includers<'a>) -> Self {
        Self { tree, includers, known: Mutex::default() }
    }
}

impl Release for Seen<'_> {
    fn width(&self, header: &str, unit: &str) -> Option<usize> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(header) {
            known.insert(header.into(), self.includers.closure(header).into_iter().collect());
        }
        known.get(header).filter(|all| all.contains(unit)).map(HashSet::len)
    }

    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.tree.join(path)).ok()
    }
}

/// What a text sets the member `name` of a struct to: the words in `.name = word` and `->name = word`.
pub fn set_in(text: &str, name: &str) -> BTreeSet<String> {
    let set = Regex::new(&format!(r"(?:\.|->){}\s*=\s*&?([A-Za-z_]\w*)", regex::escape(name)));
    set.map(|set| set.captures_iter(text).map(|c| c[1].to_string()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_is_set_to() {
        let text =
            "\t.dump\t\t= nft_dump,\n\t.dumper = no,\n\tx.dump =\n\t\t&other;\n\t.dump = 3,\n\tops->dump = late;\n";
        assert_eq!(set_in(text, "dump").into_iter().collect::<Vec<_>>(), ["late", "nft_dump", "other"]);
    }
}
