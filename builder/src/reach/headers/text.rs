// SPDX-License-Identifier: GPL-2.0-or-later
//! A text after the preprocessor's first phases: bytes in, logical lines out, without comments and with continued lines
//! put together.

use crate::c::lex::{directive, Directive};

/// One logical line.
#[derive(Debug)]
pub struct Line {
    /// Its text; a comment is a blank.
    pub text: Vec<u8>,
    /// The number that the compiler gives it; None if that depends on a branch that may not be taken.
    pub number: Option<u64>,
}

/// Cuts `text` into its logical lines, less empty ones and `#line`.
pub fn lines(text: &[u8]) -> Vec<Line> {
    let mut out = Vec::new();
    // As in `source/lines.rs`, which puts the directives there: all branches are taken, and where one is left that has one,
    // the number is not known until the next.
    let (mut number, mut sure, mut open) = (1, true, Vec::<bool>::new());
    let mut at = 0;
    while at < text.len() {
        let (line, end, count) = logical(&text[at..]);
        at += end;
        let begun = number;
        number += count;
        match directive(&line) {
            Some(Directive::Line(n)) => {
                (number, sure) = (n, true);
                open.iter_mut().for_each(|o| *o = true);
                continue;
            }
            Some(Directive::If) => open.push(false),
            Some(Directive::Else) => sure &= !open.last().copied().unwrap_or_default(),
            Some(Directive::Endif) => sure &= !open.pop().unwrap_or_default(),
            _ => {}
        }
        if !line.is_empty() {
            out.push(Line { text: line, number: sure.then_some(begun) });
        }
    }
    out
}

/// The first logical line of `text`, how many bytes it takes, and how many lines of the file.
fn logical(text: &[u8]) -> (Vec<u8>, usize, u64) {
    let (mut out, mut count) = (Vec::new(), 0);
    let (mut comment, mut literal) = (None, None);
    let mut at = 0;
    while at < text.len() {
        if let Some(len) = continuation(&text[at..]) {
            (at, count) = (at + len, count + 1);
            continue;
        }
        let b = text[at];
        // The character behind, continuations left out.
        let mut next = at + 1;
        let mut skipped = 0;
        while let Some(len) = text.get(next..).and_then(continuation) {
            (next, skipped) = (next + len, skipped + 1);
        }
        let pair = text.get(next).copied();
        if b == b'\n' {
            count += 1;
            if comment != Some(b'*') {
                return (out.trim_ascii().to_vec(), at + 1, count);
            }
            at += 1;
            continue;
        }
        let mut both = false;
        match (comment, literal) {
            (Some(b'*'), _) if b == b'*' && pair == Some(b'/') => (comment, both) = (None, true),
            (Some(_), _) => {}
            (None, Some(end)) => {
                out.push(b);
                if b == b'\\' && pair.is_some_and(|p| p != b'\n') {
                    out.extend(pair);
                    both = true;
                } else if b == end {
                    literal = None;
                }
            }
            (None, None) if b == b'/' && matches!(pair, Some(b'*' | b'/')) => {
                out.push(b' ');
                (comment, both) = (pair, true);
            }
            (None, None) => {
                out.push(b);
                if b == b'"' || b == b'\'' {
                    literal = Some(b);
                }
            }
        }
        (at, count) = if both { (next + 1, count + skipped) } else { (at + 1, count) };
    }
    (out.trim_ascii().to_vec(), text.len(), count.max(1))
}

/// The length of a backslash, blanks, and a newline.
fn continuation(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"\\")?;
    let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
    (rest.get(blanks) == Some(&b'\n')).then_some(blanks + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(String, Option<u64>)> {
        lines(text.as_bytes()).into_iter().map(|l| (String::from_utf8(l.text).unwrap(), l.number)).collect()
    }

    #[test]
    fn comments_and_continued_lines() {
        let text = "#define A(x) \\\n\tdo /* a\n b */ x\nint a; // c \\\n d\n\nchar *s = \"/* \\\" //\"; /* e */ int b;\nc\\\nd /\\\n* x */ e\n";
        let want =
            [("#define A(x) \tdo   x", 1), ("int a;", 4), ("char *s = \"/* \\\" //\";   int b;", 7), ("cd   e", 8)];
        assert_eq!(cut(text), want.map(|(t, n)| (t.to_string(), Some(n))));
        // A lonely apostrophe ends with its line.
        assert_eq!(cut("#error don't /* x\nint a;\n").len(), 2);
        assert_eq!(cut("a"), [("a".to_string(), Some(1))]);
        assert!(cut("/* open").is_empty());
    }

    #[test]
    fn numbers() {
        let text = "a\n#line 7\nb\n#ifdef X\n#line 20\nc\n#endif\nd\n#line 30\ne\n";
        let numbers: Vec<_> = cut(text).into_iter().map(|(_, n)| n).collect();
        assert_eq!(numbers, [Some(1), Some(7), Some(8), Some(20), Some(21).filter(|_| false), None, Some(30)]);
    }
}
