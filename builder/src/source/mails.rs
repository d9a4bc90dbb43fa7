// SPDX-License-Identifier: GPL-2.0-or-later
//! A patch file (bytes) in; its commits out: the pieces that each have a message and a diff of their own.
//!
//! Known are mailboxes (`git format-patch --stdout`, mailing list archives), mails that were put one behind the other,
//! and the output of `git show` and `git log -p`. Lines of a hunk begin with a blank, `+`, `-` or `\`, so the lines that
//! part two commits are never part of one.

use std::ops::Range;

/// How many bytes of a message are read for what it names.
const MAX_MESSAGE: usize = 1 << 20;
/// How many CVEs of a message are offered.
const MAX_CVES: usize = 20;

/// One commit of a patch file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Its bytes in the patch file.
    pub bytes: Range<usize>,
    /// Lines of the patch file before it.
    pub lines: usize,
}

/// The pieces of a patch file that hold a diff, in order. A file without any diff is one piece, as is the text around a
/// lone diff: `patchfile` says what is wrong with it.
pub fn split(patch: &[u8]) -> Vec<Mail> {
    let lines: Vec<&[u8]> = patch.split_inclusive(|b| *b == b'\n').collect();
    let mut starts = vec![0];
    let mut has_diff = false;
    for (i, line) in lines.iter().enumerate() {
        let next = lines.get(i + 1).copied().unwrap_or_default();
        let start = match () {
            _ if is_mbox_line(line, next) || is_commit_line(line, next) => i,
            _ if has_diff && line.starts_with(b"Subject:") => header_block(&lines, i),
            _ => {
                has_diff |= is_of_diff(line, next);
                continue;
            }
        };
        has_diff = false;
        if starts.last().is_none_or(|last| *last < start) {
            starts.push(start);
        }
    }
    let ends = starts[1..].iter().copied().chain([lines.len()]);
    let (mut at, mut found) = (0, Vec::new());
    for (&start, end) in starts.iter().zip(ends) {
        let bytes = at..at + lines[start..end].iter().map(|l| l.len()).sum::<usize>();
        at = bytes.end;
        if (start..end).any(|i| is_of_diff(lines[i], lines.get(i + 1).copied().unwrap_or_default())) {
            found.push(Mail { bytes, lines: start });
        }
    }
    match found.as_slice() {
        [] | [_] => vec![Mail { bytes: 0..patch.len(), lines: 0 }],
        _ => found,
    }
}

fn begins_diff(line: &[u8], next: &[u8]) -> bool {
    line.starts_with(b"diff --git ") || line.starts_with(b"--- ") && next.starts_with(b"+++ ")
}

/// A line that only diffs have, whole or broken: `patchfile` tells which.
fn is_of_diff(line: &[u8], next: &[u8]) -> bool {
    begins_diff(line, next) || line.starts_with(b"@@ -") || line.starts_with(b"Binary files ")
}

/// `From 1234… Mon Sep 17 00:00:00 2001` before a header, as git mailsplit takes it: with a time and a year.
fn is_mbox_line(line: &[u8], next: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    let mut words = rest.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty()).skip(1);
    let is_time = |word: &[u8]| word.split(|b| *b == b':').count() == 3 && all_digits(word, b":");
    let is_year = |word: &[u8]| word.len() == 4 && all_digits(word, b"");
    words.any(is_time) && words.any(is_year) && is_header(next)
}

/// `commit 1234…` before `Author:`, as git show and git log print it.
fn is_commit_line(line: &[u8], next: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"commit ") else { return false };
    let hex = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    hex >= 7 && [&b"Author:"[..], b"Merge:", b"AuthorDate:"].iter().any(|word| next.starts_with(word))
}

/// `Name: value`.
fn is_header(line: &[u8]) -> bool {
    let name = line.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    name > 0 && line.get(name) == Some(&b':')
}

fn all_digits(word: &[u8], others: &[u8]) -> bool {
    word.iter().all(|b| b.is_ascii_digit() || others.contains(b))
}

/// The first line of the headers in which line `at` is.
fn header_block(lines: &[&[u8]], at: usize) -> usize {
    at - lines[..at].iter().rev().take_while(|line| is_header(line)).count()
}

/// The message of a commit: what is before its diff.
pub fn message(mail: &[u8]) -> String {
    let mut end = 0;
    let mut lines = mail.split_inclusive(|b| *b == b'\n').peekable();
    while let Some(line) = lines.next() {
        if begins_diff(line, lines.peek().copied().unwrap_or_default()) || end > MAX_MESSAGE {
            break;
        }
        end += line.len();
    }
    String::from_utf8_lossy(&mail[..end.min(MAX_MESSAGE)]).into_owned()
}

/// The CVEs that a text names, in its order, each once.
pub fn cves(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (at, _) in text.match_indices("CVE-") {
        let joined = text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
        let rest = &text[at + "CVE-".len()..];
        let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
        let year = digits(rest);
        let number = rest.get(year..).and_then(|r| r.strip_prefix('-')).map_or(0, digits);
        let after = rest.get(year + 1 + number..).and_then(|r| r.chars().next());
        let ends = !after.is_some_and(|c| c.is_ascii_alphanumeric());
        if joined || year != 4 || !(4..20).contains(&number) || !ends || &rest[..year] < "1999" {
            continue;
        }
        let cve = format!("CVE-{}", &rest[..year + 1 + number]);
        if !found.contains(&cve) && found.len() < MAX_CVES {
            found.push(cve);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::title::title;

    const DIFF: &str = "--- a/f.c\n+++ b/f.c\n@@ -1,2 +1,2 @@\n-a\n+b\n From x Mon Sep 17 00:00:00 2001\n";

    fn mail(subject: &str) -> String {
        format!(
            "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] \
             {subject}\n\nIt says\nFrom here on, at 10:00:00, all is well.\n---\n f.c | 2 +-\n\ndiff --git a/f.c \
             b/f.c\nindex 1..2 100644\n{DIFF}-- \n2.39.0\n\n"
        )
    }

    fn titles(text: &str) -> Vec<(usize, Option<String>)> {
        split(text.as_bytes()).into_iter().map(|m| (m.lines, title(&text.as_bytes()[m.bytes]))).collect()
    }

    fn named(all: &[(usize, &str)]) -> Vec<(usize, Option<String>)> {
        all.iter().map(|(at, title)| (*at, Some(title.to_string()))).collect()
    }

    #[test]
    fn a_mailbox_is_as_many_pieces_as_it_has_mails_with_diffs() {
        let lines = mail("x").lines().count();
        assert_eq!(titles(&mail("one")), named(&[(0, "one")]));
        let three = mail("one") + &mail("two") + &mail("three");
        assert_eq!(titles(&three), named(&[(0, "one"), (lines, "two"), (2 * lines, "three")]));
        // A cover letter and a reply have none.
        let cover = "From a Mon Sep 17 00:00:00 2001\nSubject: [PATCH 0/2] cover\n\nText\n\n";
        let all = format!("{cover}{}{cover}{}", mail("one"), mail("two"));
        assert_eq!(titles(&all), named(&[(5, "one"), (10 + lines, "two")]));
        // With one alone, the text around it is its own.
        assert_eq!(split((cover.to_string() + &mail("one")).as_bytes()).len(), 1);
    }

    #[test]
    fn mails_and_commits_one_behind_the_other() {
        let plain = |subject: &str| format!("From: A <a@b>\nSubject: {subject}\nX-A: b\n\nbody\n---\n{DIFF}");
        let lines = plain("x").lines().count();
        assert_eq!(titles(&(plain("one") + &plain("two"))), named(&[(0, "one"), (lines, "two")]));
        let shown = |subject: &str| {
            format!("commit 0123456789abcdef\nAuthor: A <a@b>\nDate:   today\n\n    {subject}\n\n    body\n\n{DIFF}\n")
        };
        let lines = shown("x").lines().count();
        assert_eq!(titles(&(shown("one") + &shown("two"))), named(&[(0, "one"), (lines, "two")]));
    }

    #[test]
    fn what_parts_nothing() {
        // No time, no header behind it, within a hunk.
        for text in ["From here on\nA: b\n", "From x Mon Sep 17 00:00:00 2001\nno header\n", "commit 01\nAuthor: A\n"] {
            assert_eq!(split(format!("{DIFF}\n{text}{DIFF}").as_bytes()).len(), 1, "{text}");
        }
        for text in ["", "\n", "From ", "Subject:"] {
            assert_eq!(split(text.as_bytes()), [Mail { bytes: 0..text.len(), lines: 0 }]);
        }
        let three = mail("one") + &mail("two") + &mail("three");
        (0..three.len()).for_each(|end| assert!(!split(&three.as_bytes()[..end]).is_empty()));
    }

    #[test]
    fn what_a_message_names() {
        let text = "Fixes CVE-2026-1234, CVE-2026-1234 and (CVE-1999-00001).\nCVE-26-1234 XCVE-2026-1234 CVE-2026-123 \
                    CVE-2026-1234a CVE-1998-1234 CVE-2026-12345678901234567890 CVE- CVE-2026";
        assert_eq!(cves(text), ["CVE-2026-1234", "CVE-1999-00001"]);
        assert_eq!(message(mail("one").as_bytes()).lines().last(), Some(""));
        assert!(message(mail("one").as_bytes()).contains("f.c | 2"));
        assert_eq!(message(DIFF.as_bytes()), "");
    }
}
