// SPDX-License-Identifier: GPL-2.0-or-later
//! What the difference in one file is made of: hunks, and in each the groups of lines that change together.

use std::collections::BTreeSet;
use std::ops::Range;

/// The hunks of a one-file difference.
pub fn hunks(diff: &str) -> Vec<&str> {
    let starts: Vec<usize> =
        diff.match_indices("@@ ").map(|(at, _)| at).filter(|at| *at == 0 || diff[..*at].ends_with('\n')).collect();
    let ends = starts.iter().skip(1).copied().chain([diff.len()]);
    starts.iter().zip(ends).map(|(from, to)| &diff[*from..to]).collect()
}

/// Unchanged lines before and after a change, as diff writes them.
const CONTEXT: usize = 3;

/// Changed lines of a hunk with no unchanged line between them.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// The line of the older file, from 1, that it takes out or puts something before.
    pub at: usize,
    /// Which lines of the hunk it is; 0 is the `@@` line.
    pub lines: Range<usize>,
}

/// The groups of a hunk, in order; none where it is no hunk.
pub fn groups(hunk: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let Some(mut at) = first_line(hunk) else { return groups };
    for (n, line) in hunk.lines().enumerate().skip(1) {
        if is_change(line) {
            match groups.last_mut().filter(|group| group.lines.end == n) {
                Some(group) => group.lines.end = n + 1,
                None => groups.push(Group { at, lines: n..n + 1 }),
            }
        }
        // "\ No newline at end of file" goes with the line before it.
        if line.starts_with('\\') {
            groups.last_mut().filter(|group| group.lines.end == n).into_iter().for_each(|g| g.lines.end = n + 1);
        }
        at += usize::from(!line.starts_with(['+', '\\']));
    }
    groups
}

/// A hunk that changes only what the groups of these numbers, from 1, change.
pub fn only(hunk: &str, wanted: &BTreeSet<usize>) -> String {
    let groups = groups(hunk);
    let unwanted = |n: usize| {
        groups
            .iter()
            .enumerate()
            .any(|(group, Group { lines, .. })| lines.contains(&n) && !wanted.contains(&(group + 1)))
    };
    let mut kept = Vec::new();
    for (n, line) in hunk.lines().enumerate().skip(1) {
        match line.strip_prefix('-').filter(|_| unwanted(n)) {
            Some(stays) => kept.push(format!(" {stays}")),
            None if line.starts_with('+') && unwanted(n) => {}
            None => kept.push(line.into()),
        }
    }
    // More context on one side than on the other says that the file ends there.
    let unchanged = |line: &&String| !is_change(line) && !line.starts_with('\\');
    let before = kept.iter().take_while(unchanged).count().saturating_sub(CONTEXT);
    let behind = kept.iter().rev().take_while(unchanged).count().saturating_sub(CONTEXT);
    let end = kept.len().saturating_sub(behind).max(before);
    let kept = &kept[before..end];
    let many = |other: char| kept.iter().filter(|line| !line.starts_with([other, '\\'])).count();
    let at = first_line(hunk).unwrap_or_default() + before;
    format!("@@ -{at},{} +{at},{} @@\n{}\n", many('+'), many('-'), kept.join("\n"))
}

/// Where a hunk begins in the older file, from 1.
fn first_line(hunk: &str) -> Option<usize> {
    hunk.strip_prefix("@@ -")?.split([',', ' ']).next()?.parse().ok()
}

fn is_change(line: &str) -> bool {
    line.starts_with(['+', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- a/x\n+++ b/x\n@@ -3,5 +3,5 @@\n a\n-b\n+B\n c\n+d\n e\n-f\n@@ -40 +40,2 @@\n x\n+y\n";

    #[test]
    fn hunks_and_groups() {
        let found = hunks(DIFF);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], "@@ -40 +40,2 @@\n x\n+y\n");
        let at: Vec<(usize, Range<usize>)> = groups(found[0]).into_iter().map(|g| (g.at, g.lines)).collect();
        assert_eq!(at, [(4, 2..4), (6, 5..6), (7, 7..8)]);
        assert!(groups("no hunk").is_empty());
    }

    #[test]
    fn other_groups_are_left_as_they_were() {
        let first = hunks(DIFF)[0];
        assert_eq!(only(first, &BTreeSet::from([2])), "@@ -3,5 +3,6 @@\n a\n b\n c\n+d\n e\n f\n");
        let long = "@@ -3,6 +3,7 @@\n-a\n b\n c\n d\n e\n f\n+g\n";
        assert_eq!(only(long, &BTreeSet::from([2])), "@@ -6,3 +6,4 @@\n d\n e\n f\n+g\n");
        assert_eq!(only(long, &BTreeSet::from([1])), "@@ -3,4 +3,3 @@\n-a\n b\n c\n d\n");
        assert_eq!(only(first, &BTreeSet::from([1, 3])), "@@ -3,5 +3,4 @@\n a\n-b\n+B\n c\n e\n-f\n");
    }
}
