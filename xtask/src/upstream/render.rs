// SPDX-License-Identifier: GPL-2.0-or-later
//! Text of kmod/ in, the same file as a part of the series leaves it in the kernel's tree out.
//!
//! Lines of comments say what differs: `// @out-of-tree` begins lines that the kernel does not get, `// @part N` lines that part N
//! and later ones have, `// @end` ends either. `// @in-tree TEXT` is TEXT in the kernel.

use anyhow::{bail, Context, Result};

/// Which lines are kept.
#[derive(Clone, Copy, PartialEq)]
enum Region {
    All,
    OutOfTree,
    FromPart(usize),
}

/// The lines of `text` that part `part` has.
///
/// # Errors
/// A marker is unknown, or not ended; names its line.
pub fn render(text: &str, part: usize) -> Result<String> {
    let mut region = Region::All;
    let mut lines: Vec<String> = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let is_kept = match region {
            Region::All => true,
            Region::OutOfTree => false,
            Region::FromPart(from) => part >= from,
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        match line.trim_start().strip_prefix("// @") {
            Some("out-of-tree") => region = Region::OutOfTree,
            Some("end") if region != Region::All => region = Region::All,
            Some(marker) => match (marker.strip_prefix("part "), marker.strip_prefix("in-tree ")) {
                (Some(from), _) => {
                    let from = from.parse().with_context(|| format!("line {}: {from} is no part's number", n + 1))?;
                    region = Region::FromPart(from);
                }
                (_, Some(code)) if is_kept => lines.push(format!("{indent}{code}")),
                (_, Some(_)) => {}
                _ => bail!("line {}: the marker @{marker} is unknown, or nothing is to end here", n + 1),
            },
            None if is_kept => lines.push(line.into()),
            None => {}
        }
    }
    if region != Region::All {
        bail!("the last region has no // @end");
    }
    Ok(spaced(&lines))
}

/// What is left out leaves no two blank lines, and none before a closing brace or at the end.
fn spaced(lines: &[String]) -> String {
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        let next = lines[i + 1..].iter().find(|l| !l.is_empty());
        let is_needed = next.is_some_and(|next| next.trim() != "}") && !out.ends_with("\n\n");
        if !line.is_empty() || is_needed {
            out += line;
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_lines() {
        let text = "a\n\n// @part 3\nmod b;\n// @part 4\nmod c;\n// @end\n\nfn f() {\n    // @out-of-tree\n    x();\n    // @end\n    // @in-tree y();\n}\n";
        assert_eq!(render(text, 2).unwrap(), "a\n\nfn f() {\n    y();\n}\n");
        assert_eq!(render(text, 3).unwrap(), "a\n\nmod b;\n\nfn f() {\n    y();\n}\n");
        assert_eq!(render(text, 4).unwrap(), "a\n\nmod b;\nmod c;\n\nfn f() {\n    y();\n}\n");
        assert_eq!(render("{\n    a\n\n    // @out-of-tree\n    b\n    // @end\n}\n\n", 9).unwrap(), "{\n    a\n}\n");
    }

    #[test]
    fn markers_that_are_wrong_are_errors() {
        for wrong in ["// @end\n", "// @out-of-tree\n", "// @part x\n// @end\n", "    // @else\n"] {
            render(wrong, 1).unwrap_err();
        }
    }
}
