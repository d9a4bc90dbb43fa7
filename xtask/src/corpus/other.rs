// SPDX-License-Identifier: GPL-2.0-or-later
//! A changed file that may belong to a fix: which of its hunks, and which groups of lines in them, are about some names.

use super::hunks::{groups, hunks, Group};
use super::parts::Parts;
use std::collections::BTreeSet;

/// A changed file that a fix has not all of.
pub struct Other<'a> {
    /// Where it is in the tree.
    pub path: &'a str,
    hunks: Vec<&'a str>,
}

impl<'a> Other<'a> {
    /// The file `path` with its difference.
    pub fn new(path: &'a str, diff: &'a str) -> Self {
        Self { path, hunks: hunks(diff) }
    }

    /// Whether it is a header.
    pub fn is_header(&self) -> bool {
        self.path.ends_with(".h")
    }

    /// Puts into `parts` what has one of `words` in it and is not in `have`: groups of hunks. Where the file is known not to
    /// compile (`broken`), that is all in what begins with such a word, and whole hunks with a word nearby; otherwise all in
    /// functions that return something else. `text` is the file's.
    pub fn about(&self, words: &BTreeSet<String>, text: &str, broken: bool, have: &Parts, parts: &mut Parts) {
        let any = |line: &str| words.iter().any(|word| is_in(line, word));
        let retyped: Vec<&String> = words.iter().filter(|word| self.returns_other(word)).collect();
        let all_of = |line: &str| broken && any(line) || retyped.iter().any(|word| is_in(line, word));
        for (n, hunk) in self.hunks.iter().enumerate().map(|(n, hunk)| (n + 1, hunk)) {
            let lines: Vec<&str> = hunk.lines().collect();
            let groups = groups(hunk);
            let named = |group: &Group| {
                let changed = &lines[group.lines.clone()];
                let call = opener(&lines[1..group.lines.start]);
                // What a function returns may be on a line before its name.
                let head = lines.get(group.lines.end).filter(|_| changed.last().is_some_and(|line| is_head(line)));
                changed.iter().copied().chain(call).chain(head.copied()).any(any)
                    || begins(text, group.at).is_some_and(all_of)
            };
            let those: Vec<usize> = (1..=groups.len()).filter(|group| named(&groups[group - 1])).collect();
            let nearby = broken && those.is_empty() && lines.iter().skip(1).any(|line| any(line));
            if nearby || !those.is_empty() && those.len() == groups.len() {
                if !have.has(self.path, n) {
                    parts.add_hunk(self.path, n);
                }
                continue;
            }
            let fresh = those.into_iter().filter(|group| !have.has_group(self.path, n, *group));
            fresh.for_each(|group| parts.add_group(self.path, n, group));
        }
    }

    /// Whether what is before `name` where it is defined is not what was there.
    fn returns_other(&self, name: &str) -> bool {
        let (mut old, mut new) = (BTreeSet::new(), BTreeSet::new());
        for hunk in &self.hunks {
            let lines: Vec<&str> = hunk.lines().skip(1).collect();
            for (n, line) in lines.iter().enumerate() {
                let has_name = |line: &&&str| is_in(line, name);
                let before = match line.find(name).filter(|_| is_definition(line) && has_name(&line)) {
                    Some(at) => &line[1..at],
                    // The name may be on the line after what it returns.
                    None if is_head(line) => match lines[n + 1..].iter().find(|l| !is_head(l)).filter(has_name) {
                        Some(_) => &line[1..],
                        None => continue,
                    },
                    None => continue,
                };
                match line.as_bytes().first() {
                    Some(b'-') => _ = old.insert(before),
                    Some(b'+') => _ = new.insert(before),
                    _ => {}
                }
            }
        }
        !old.is_empty() && !new.is_empty() && old != new
    }

    /// The hunks, by number, that change a declaration of `name`, or another statement with it.
    pub fn changing(&self, name: &str) -> Vec<usize> {
        let changes = |hunk: &str| {
            let lines: Vec<&str> = hunk.lines().collect();
            groups(hunk).iter().any(|group| {
                let changed = &lines[group.lines.clone()];
                changed.iter().copied().chain(opener(&lines[1..group.lines.start])).any(|line| is_in(line, name))
            })
        };
        self.hunks.iter().enumerate().filter(|(_, hunk)| changes(hunk)).map(|(n, _)| n + 1).collect()
    }

    /// The hunks, by number, that have `name` as a whole word in one of the `lines` that count.
    pub fn with(&self, name: &str, lines: Lines) -> Vec<usize> {
        let hunks = self.hunks.iter().enumerate().filter(|(_, hunk)| has(hunk, name, lines));
        hunks.map(|(n, _)| n + 1).collect()
    }
}

/// The line that the function, or whatever else, begins with that line `n` of `text` is in.
fn begins(text: &str, n: usize) -> Option<&str> {
    let starts = |line: &&str| line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !line.ends_with(':');
    text.lines().take(n).filter(starts).last()
}

/// The line before the end of `lines` that opens the parenthesis which is open there, in the same statement.
fn opener<'l>(lines: &[&'l str]) -> Option<&'l str> {
    let mut open = 0;
    for line in lines.iter().rev().filter(|line| !line.starts_with('+')) {
        if line.ends_with([';', '{', '}']) {
            return None;
        }
        open += line.matches('(').count() as isize - line.matches(')').count() as isize;
        if open > 0 {
            return Some(line);
        }
    }
    None
}

/// Whether a line of a hunk begins a definition, or a declaration.
fn is_definition(line: &str) -> bool {
    line.get(1..).is_some_and(|line| line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

/// Whether it begins one without the name.
fn is_head(line: &str) -> bool {
    is_definition(line) && !line.contains(['(', ';', '='])
}

/// Which lines of a hunk count.
pub type Lines = fn(&str) -> bool;

/// All of them.
pub fn all(_: &str) -> bool {
    true
}

/// Those that the newer release adds.
pub fn added(line: &str) -> bool {
    line.starts_with('+')
}

/// Those that are added and begin a definition: it begins where no other line of a function does.
pub fn defines(line: &str) -> bool {
    line.strip_prefix('+').is_some_and(|l| l.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

/// Whether a hunk has `name` as a whole word in one of the `lines` that count.
fn has(hunk: &str, name: &str, lines: Lines) -> bool {
    hunk.lines().skip(1).filter(|l| lines(l)).any(|line| is_in(line, name))
}

/// Whether a line has `name` as a whole word.
fn is_in(line: &str, name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(name).any(|(at, _)| !line[..at].ends_with(word) && !line[at + name.len()..].starts_with(word))
}
