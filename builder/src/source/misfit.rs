// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a hunk does not apply: the source and the hunk in, the first line that differs at the place where most lines are the
//! same out.

use super::patchfile::Hunk;

/// Lines of a hunk that are looked at.
const LOOKED_AT: usize = 200;

/// A line of the hunk, and what the source has there.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Line of the patch file.
    pub patch_line: usize,
    /// What the hunk wants to find there.
    pub wanted: String,
    /// Line of the source, from 1, and what is there; None behind its end.
    pub found: Option<(usize, String)>,
    /// They differ only in blanks, tabs and line ends.
    pub blanks: bool,
}

/// Finds it; None where the hunk looks for no lines, or none of them is there.
pub fn misfit(source: &[u8], hunk: &Hunk) -> Option<Misfit> {
    let lines: Vec<&[u8]> = source.split_inclusive(|b| *b == b'\n').collect();
    let mut wanted: Vec<(usize, &[u8])> = Vec::new();
    for (n, line) in hunk.body.split_inclusive(|b| *b == b'\n').enumerate() {
        if matches!(line.first(), Some(b' ' | b'-')) && wanted.len() < LOOKED_AT {
            wanted.push((hunk.line + 1 + n, &line[1..]));
        }
    }
    // Equal lines count double, so that one that is right outweighs one that only looks so.
    let likeness = |start: usize| -> usize {
        let pairs = wanted.iter().zip(&lines[start..]);
        pairs.map(|((_, a), b)| if a == b { 2 } else { usize::from(plain(a) == plain(b)) }).sum()
    };
    let said = usize::try_from(hunk.old_start).unwrap_or(usize::MAX).saturating_sub(1);
    let best = (0..lines.len()).max_by_key(|&start| (likeness(start), std::cmp::Reverse(start.abs_diff(said))))?;
    if likeness(best) == 0 {
        return None;
    }
    let (n, (patch_line, text)) = wanted.iter().enumerate().find(|(n, (_, a))| lines.get(best + n) != Some(a))?;
    let found = lines.get(best + n);
    Some(Misfit {
        patch_line: *patch_line,
        wanted: shown(text),
        found: found.map(|line| (best + n + 1, shown(line))),
        blanks: found.is_some_and(|line| plain(line) == plain(text)),
    })
}

impl Misfit {
    /// Both lines, below the sentence that says that the hunk does not apply.
    pub fn lines(&self) -> String {
        let found = match &self.found {
            Some((line, text)) => format!("the source has in line {line}:\n      {text}"),
            None => "the source ends before that".into(),
        };
        format!(":\n    line {} of the patch file wants:\n      {}\n    {found}", self.patch_line, self.wanted)
    }
}

/// A line less its blanks.
fn plain(line: &[u8]) -> Vec<u8> {
    line.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect()
}

/// A line for a person: tabs and a carriage return are visible.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text: String = text.trim_end_matches('\n').chars().take(200).collect();
    text.replace('\t', "\\t").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "int a;\n\nint f(void)\n{\n\treturn 1;\n}\n\nint g(void)\n{\n\treturn 2;\n}\n";

    fn hunk(body: &str) -> Hunk {
        Hunk { line: 3, old_start: 3, old_len: 0, new_start: 3, new_len: 0, body: body.as_bytes().to_vec() }
    }

    fn of(body: &str) -> (usize, String, Option<(usize, String)>, bool) {
        let m = misfit(SOURCE.as_bytes(), &hunk(body)).unwrap();
        (m.patch_line, m.wanted, m.found, m.blanks)
    }

    #[test]
    fn the_first_line_that_differs() {
        let found = |line: usize, text: &str| Some((line, text.to_string()));
        assert_eq!(
            of(" int f(void)\n {\n-\treturn 3;\n+\treturn 4;\n }\n"),
            (6, "\\treturn 3;".into(), found(5, "\\treturn 1;"), false)
        );
        assert_eq!(
            of(" int g(void)\n {\n-\treturn 3;\n }\n"),
            (6, "\\treturn 3;".into(), found(10, "\\treturn 2;"), false)
        );
        assert_eq!(of(" {\n-        return 2;\n }\n").2, found(10, "\\treturn 2;"));
        let (_, wanted, _, blanks) = of(" int f(void)\r\n {\r\n");
        assert_eq!((wanted.as_str(), blanks), ("int f(void)\\r", true));
        assert_eq!(of(" \treturn 2;\n }\n int h;\n"), (6, "int h;".into(), None, false));
        assert_eq!(misfit(SOURCE.as_bytes(), &hunk(" nothing of it\n")), None);
        assert_eq!(misfit(SOURCE.as_bytes(), &hunk("+new\n")), None);
        assert_eq!(misfit(b"", &hunk(" int a;\n")), None);
    }
}
