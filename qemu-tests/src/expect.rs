// SPDX-License-Identifier: GPL-2.0-or-later
//! Compares lines that were expected with lines that were seen: both in, nothing or a readable difference out.

use regex::Regex;

/// Whether `line` is what `pattern` asks for: the same text, or, after a `~`, a regular expression for all of it.
pub fn line_matches(pattern: &str, line: &str) -> bool {
    match pattern.strip_prefix('~') {
        Some(expression) => Regex::new(&format!("^(?:{expression})$")).is_ok_and(|r| r.is_match(line)),
        None => pattern == line,
    }
}

/// All of `seen` against all of `expected`, in order. None where they agree.
pub fn differs(expected: &[String], seen: &[String]) -> Option<String> {
    let same = expected.len() == seen.len() && expected.iter().zip(seen).all(|(e, s)| line_matches(e, s));
    (!same).then(|| side_by_side(expected, seen))
}

/// The patterns of `wanted` that no line of `seen` matches. None where each has one.
pub fn lacks(wanted: &[String], seen: &[String]) -> Option<String> {
    let missing: Vec<&String> = wanted.iter().filter(|w| !seen.iter().any(|s| line_matches(w, s))).collect();
    if missing.is_empty() {
        return None;
    }
    let mut text = String::new();
    missing.iter().for_each(|m| text += &format!("  - expected {m}\n"));
    seen.iter().for_each(|s| text += &format!("    seen     {s}\n"));
    Some(text)
}

fn side_by_side(expected: &[String], seen: &[String]) -> String {
    let mut text = String::new();
    for i in 0..expected.len().max(seen.len()) {
        match (expected.get(i), seen.get(i)) {
            (Some(e), Some(s)) if line_matches(e, s) => text += &format!("    {s}\n"),
            (e, s) => {
                e.iter().for_each(|e| text += &format!("  - expected {e}\n"));
                s.iter().for_each(|s| text += &format!("  + seen     {s}\n"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|t| t.to_string()).collect()
    }

    #[test]
    fn text_is_literal_and_tilde_is_an_expression_for_the_whole_line() {
        assert!(line_matches("a.c", "a.c"));
        assert!(!line_matches("a.c", "abc"));
        assert!(line_matches("~a.c", "abc"));
        assert!(!line_matches("~b", "abc"));
        assert!(!line_matches("~(", "("));
    }

    #[test]
    fn every_line_counts() {
        assert_eq!(differs(&lines(&["a", "~[0-9]+"]), &lines(&["a", "12"])), None);
        let text = differs(&lines(&["a", "b"]), &lines(&["a", "c", "d"])).expect("differs");
        assert_eq!(text, "    a\n  - expected b\n  + seen     c\n  + seen     d\n");
    }

    #[test]
    fn more_may_be_listed_than_is_wanted() {
        assert_eq!(lacks(&lines(&["~vmlinux/f,[2-9]"]), &lines(&["vmlinux/e,1", "vmlinux/f,3"])), None);
        let text = lacks(&lines(&["vmlinux/f,2"]), &lines(&["vmlinux/f,3"])).expect("lacks");
        assert!(text.contains("expected vmlinux/f,2") && text.contains("seen     vmlinux/f,3"));
    }
}
