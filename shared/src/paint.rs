// SPDX-License-Identifier: GPL-2.0-or-later
//! Colours for people at a terminal: lines of text in, the same lines with what the eye looks for set off out. A pipe or a file
//! gets none, nor does anyone who sets NO_COLOR (https://no-color.org).

use std::borrow::Cow;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Needs attention.
    Doubtful,
    /// Wrong.
    Bad,
    /// Stands out, without a verdict.
    Strong,
    /// Stays in the background.
    Quiet,
}

impl Tone {
    /// The parameters of the escape sequence (ECMA-48, SGR).
    fn code(self) -> &'static str {
        match self {
            Self::Good => "1;32",
            Self::Doubtful => "1;33",
            Self::Bad => "1;31",
            Self::Strong => "1",
            Self::Quiet => "2",
        }
    }

    /// `text` in this tone.
    pub fn paint(self, text: &str) -> String {
        format!("\x1b[{}m{text}\x1b[0m", self.code())
    }
}

/// Whether an output gets colours. `is_terminal` says what the output is.
pub fn wanted(is_terminal: bool) -> bool {
    let value = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    is_terminal && value("NO_COLOR").is_none() && value("TERM").is_some_and(|term| term != "dumb")
}

/// What a line may begin with, after blanks, and how that looks.
const BEGINNINGS: [(&str, Tone); 8] = [
    ("what you can do:", Tone::Strong),
    ("warning:", Tone::Doubtful),
    ("warning ", Tone::Doubtful),
    ("note:", Tone::Strong),
    ("refused:", Tone::Bad),
    ("failed:", Tone::Bad),
    ("NOT PROVEN", Tone::Bad),
    ("it does not fit:", Tone::Bad),
];

/// Lines with the codes of refusals and warnings (`[no-ftrace-site]`), and the words of [`BEGINNINGS`], set off. Text that has
/// none of them comes back as it is.
pub fn lines(text: &str) -> Cow<'_, str> {
    if !text.split('\n').any(|line| begin(line).is_some()) {
        return Cow::Borrowed(text);
    }
    let painted = text.split('\n').map(|line| match begin(line) {
        Some((blanks, end, tone)) => line[..blanks].to_string() + &tone.paint(&line[blanks..end]) + &line[end..],
        None => line.to_string(),
    });
    Cow::Owned(painted.collect::<Vec<_>>().join("\n"))
}

/// What a line begins with: where it begins and ends, and how it looks.
fn begin(line: &str) -> Option<(usize, usize, Tone)> {
    let rest = line.trim_start_matches(' ');
    let blanks = line.len() - rest.len();
    if let Some(code) = rest.strip_prefix('[').and_then(|r| r.split_once("] ")).map(|(code, _)| code) {
        let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        return is_code.then_some((blanks, blanks + code.len() + 2, Tone::Doubtful));
    }
    let (word, tone) = BEGINNINGS.iter().find(|(word, _)| rest.starts_with(word))?;
    Some((blanks, blanks + word.trim_end().len(), *tone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_beginnings_are_set_off() {
        let text = "no:\n  [no-ftrace-site] f: it [x] is\n    what you can do: wait\n";
        let painted =
            "no:\n  \x1b[1;33m[no-ftrace-site]\x1b[0m f: it [x] is\n    \x1b[1mwhat you can do:\x1b[0m wait\n";
        assert_eq!(lines(text), painted);
        assert_eq!(lines("warning  a"), "\x1b[1;33mwarning\x1b[0m  a");
        for plain in ["", "a\nb", "[1.0 s] x", "[] x", "see the warning: x", "[unclosed"] {
            assert!(matches!(lines(plain), Cow::Borrowed(same) if same == plain), "{plain}");
        }
    }
}
