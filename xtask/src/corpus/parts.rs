// SPDX-License-Identifier: GPL-2.0-or-later
//! What of a release a fix is made of: files, each whole or some of its hunks.

use anyhow::Result;
use qemu_tests::cut::select;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Files by path, each with the numbers of its hunks from 1; none for the whole file. Written as a list of words:
/// `include/net/sock.h#2,5`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Parts(BTreeMap<String, BTreeSet<usize>>);

impl Parts {
    /// One whole file.
    pub fn whole(path: &str) -> Self {
        Self(BTreeMap::from([(path.into(), BTreeSet::new())]))
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many files are in it.
    pub fn files(&self) -> usize {
        self.0.len()
    }

    /// Paths of the files.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Whether all of a file is in it.
    pub fn has_all_of(&self, path: &str) -> bool {
        self.0.get(path).is_some_and(BTreeSet::is_empty)
    }

    /// Whether a hunk of a file is in it.
    pub fn has(&self, path: &str, hunk: usize) -> bool {
        self.0.get(path).is_some_and(|hunks| hunks.is_empty() || hunks.contains(&hunk))
    }

    /// The files of which some hunks are in it.
    pub fn cut(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|(_, hunks)| !hunks.is_empty()).map(|(path, _)| path)
    }

    /// Puts one hunk in; a whole file stays whole.
    pub fn add_hunk(&mut self, path: &str, hunk: usize) {
        let hunks = self.0.entry(path.into()).or_insert_with(|| BTreeSet::from([hunk]));
        if !hunks.is_empty() {
            hunks.insert(hunk);
        }
    }

    /// Puts all of `other` in.
    pub fn add(&mut self, other: &Self) {
        for (path, more) in &other.0 {
            match self.0.get_mut(path) {
                Some(hunks) if !hunks.is_empty() && !more.is_empty() => hunks.extend(more),
                Some(hunks) => hunks.clear(),
                None => _ = self.0.insert(path.clone(), more.clone()),
            }
        }
    }

    /// Takes a file out; false where it was not in.
    pub fn remove(&mut self, path: &str) -> bool {
        self.0.remove(path).is_some()
    }

    /// The difference that it makes, cut out of those of the whole files.
    ///
    /// # Errors
    /// A hunk that is not there.
    pub fn diff(&self, diffs: &[(String, String)]) -> Result<String> {
        let mut text = String::new();
        for (path, diff) in diffs {
            let Some(hunks) = self.0.get(path) else { continue };
            let hunks: Vec<usize> = hunks.iter().copied().collect();
            text += &select(diff, (!hunks.is_empty()).then_some(&hunks))?;
        }
        Ok(text)
    }
}

impl From<Vec<String>> for Parts {
    fn from(words: Vec<String>) -> Self {
        let part = |word: String| match word.split_once('#') {
            Some((path, hunks)) => (path.to_string(), hunks.split(',').filter_map(|n| n.parse().ok()).collect()),
            None => (word, BTreeSet::new()),
        };
        Self(words.into_iter().map(part).collect())
    }
}

impl From<Parts> for Vec<String> {
    fn from(parts: Parts) -> Self {
        let word = |(path, hunks): (String, BTreeSet<usize>)| match hunks.is_empty() {
            true => path,
            false => format!("{path}#{}", hunks.iter().map(usize::to_string).collect::<Vec<_>>().join(",")),
        };
        parts.0.into_iter().map(word).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_read_back() {
        let mut parts = Parts::whole("a.c");
        parts.add_hunk("a.c", 3);
        parts.add_hunk("b.h", 2);
        parts.add_hunk("b.h", 1);
        assert!(parts.has_all_of("a.c") && parts.has("a.c", 7) && parts.has("b.h", 1) && !parts.has("b.h", 3));
        let words: Vec<String> = parts.clone().into();
        assert_eq!(words, ["a.c", "b.h#1,2"]);
        assert_eq!(Parts::from(words), parts);
        parts.add(&Parts::whole("b.h"));
        assert!(parts.has_all_of("b.h") && parts.cut().next().is_none());
    }

    #[test]
    fn a_difference_is_cut_out_of_the_whole() {
        let diff = "--- a/b.h\n+++ b/b.h\n@@ -1 +1,2 @@\n a\n+b\n@@ -9 +10,2 @@\n x\n+y\n";
        let mut parts = Parts::default();
        parts.add_hunk("b.h", 2);
        let text = parts.diff(&[("a.c".into(), "no".into()), ("b.h".into(), diff.into())]).expect("cut");
        assert_eq!(text, "--- a/b.h\n+++ b/b.h\n@@ -9,1 +9,2 @@\n x\n+y\n");
    }
}
