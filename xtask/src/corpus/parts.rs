// SPDX-License-Identifier: GPL-2.0-or-later
//! The parts of a release that make up a fix: files, each whole or some of its hunks.

use super::hunks::{hunks, only};
use anyhow::Result;
use qemu_tests::cut::select;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Files by path, each with the numbers of its hunks from 1; none for the whole file. A hunk goes with the numbers of its
/// groups from 1; none for the whole hunk. Written as a list of words: `include/net/sock.h#2,5.1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Parts(BTreeMap<String, Hunks>);

impl Parts {
    /// One whole file.
    pub fn whole(path: &str) -> Self {
        Self::of_whole([path.into()])
    }

    /// Whole files.
    pub fn of_whole(paths: impl IntoIterator<Item = String>) -> Self {
        Self(paths.into_iter().map(|path| (path, Hunks::new())).collect())
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
        self.0.get(path).is_some_and(BTreeMap::is_empty)
    }

    /// Whether all of a hunk of a file is in it.
    pub fn has(&self, path: &str, hunk: usize) -> bool {
        self.0.get(path).is_some_and(|hunks| hunks.is_empty() || hunks.get(&hunk).is_some_and(BTreeSet::is_empty))
    }

    /// Whether a group of a hunk of a file is in it.
    pub fn has_group(&self, path: &str, hunk: usize, group: usize) -> bool {
        let groups = self.0.get(path).and_then(|hunks| hunks.get(&hunk));
        self.has(path, hunk) || groups.is_some_and(|groups| groups.contains(&group))
    }

    /// The files of which some hunks are in it.
    pub fn cut(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|(_, hunks)| !hunks.is_empty()).map(|(path, _)| path)
    }

    /// Puts one hunk in; a whole file stays whole.
    pub fn add_hunk(&mut self, path: &str, hunk: usize) {
        self.add(&Self(BTreeMap::from([(path.into(), BTreeMap::from([(hunk, BTreeSet::new())]))])));
    }

    /// Puts one group of a hunk in; a whole hunk stays whole.
    pub fn add_group(&mut self, path: &str, hunk: usize, group: usize) {
        self.add(&Self(BTreeMap::from([(path.into(), BTreeMap::from([(hunk, BTreeSet::from([group]))]))])));
    }

    /// Puts all of `other` in.
    pub fn add(&mut self, other: &Self) {
        for (path, more) in &other.0 {
            match self.0.get_mut(path) {
                Some(hunks) if !hunks.is_empty() && !more.is_empty() => add_hunks(hunks, more),
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
            let numbers: Vec<usize> = hunks.keys().copied().collect();
            text += &select(&cut(diff, hunks), (!numbers.is_empty()).then_some(&numbers))?;
        }
        Ok(text)
    }
}

/// Hunks, each with its groups.
type Hunks = BTreeMap<usize, BTreeSet<usize>>;

fn add_hunks(hunks: &mut Hunks, more: &Hunks) {
    for (hunk, more) in more {
        match hunks.get_mut(hunk) {
            Some(groups) if !groups.is_empty() && !more.is_empty() => groups.extend(more),
            Some(groups) => groups.clear(),
            None => _ = hunks.insert(*hunk, more.clone()),
        }
    }
}

/// A difference in which of those of `wanted` that are not whole hunks only their groups are left.
fn cut(diff: &str, wanted: &Hunks) -> String {
    let found = hunks(diff);
    let head = &diff[..diff.len() - found.iter().map(|hunk| hunk.len()).sum::<usize>()];
    let part = |(n, hunk): (usize, &&str)| match wanted.get(&(n + 1)).filter(|groups| !groups.is_empty()) {
        Some(groups) => only(hunk, groups),
        None => hunk.to_string(),
    };
    head.to_string() + &found.iter().enumerate().map(part).collect::<String>()
}

impl From<Vec<String>> for Parts {
    fn from(words: Vec<String>) -> Self {
        let mut parts = Self::default();
        for word in words {
            let Some((path, numbers)) = word.split_once('#') else {
                parts.add(&Self::whole(&word));
                continue;
            };
            for number in numbers.split(',') {
                match number.split_once('.').map(|(hunk, group)| (hunk.parse(), group.parse())) {
                    Some((Ok(hunk), Ok(group))) => parts.add_group(path, hunk, group),
                    Some(_) => {}
                    None => number.parse().into_iter().for_each(|hunk| parts.add_hunk(path, hunk)),
                }
            }
        }
        parts
    }
}

impl From<Parts> for Vec<String> {
    fn from(parts: Parts) -> Self {
        let number = |(hunk, groups): (&usize, &BTreeSet<usize>)| match groups.is_empty() {
            true => vec![hunk.to_string()],
            false => groups.iter().map(|group| format!("{hunk}.{group}")).collect(),
        };
        let word = |(path, hunks): (String, Hunks)| match hunks.is_empty() {
            true => path,
            false => format!("{path}#{}", hunks.iter().flat_map(number).collect::<Vec<_>>().join(",")),
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
        parts.add_group("c.c", 2, 3);
        parts.add_group("c.c", 2, 1);
        parts.add_hunk("c.c", 4);
        assert!(parts.has_group("c.c", 2, 3) && !parts.has("c.c", 2) && parts.has_group("c.c", 4, 9));
        let words: Vec<String> = parts.clone().into();
        assert_eq!(words, ["a.c", "b.h#1,2", "c.c#2.1,2.3,4"]);
        assert_eq!(Parts::from(words), parts);
        parts.add_hunk("c.c", 2);
        assert!(parts.has("c.c", 2));
        parts.remove("c.c");
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
        let diff = "--- a/b.h\n+++ b/b.h\n@@ -1 +1,2 @@\n a\n+b\n@@ -9,2 +10,3 @@\n-x\n y\n+z\n+z\n";
        let mut parts = Parts::default();
        parts.add_group("b.h", 2, 2);
        let text = parts.diff(&[("b.h".into(), diff.into())]).expect("cut");
        assert_eq!(text, "--- a/b.h\n+++ b/b.h\n@@ -9,2 +9,4 @@\n x\n y\n+z\n+z\n");
    }
}
