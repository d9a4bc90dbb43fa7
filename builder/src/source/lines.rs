// SPDX-License-Identifier: GPL-2.0-or-later
//! Keeps line numbers of unchanged code as they were: original and patched text in, patched text with `#line` out.
//!
//! WARN_ON, might_sleep and their like compile __LINE__ into the code. Without this, a fix that adds one line
//! would change every function below it that has one of them.

use crate::c::lex::{scan, Directive};
use similar::{capture_diff_slices, Algorithm, DiffOp};

/// `patched` with `#line N` after each hunk that moved lines, so that the lines which it shares with `original`
/// have their old numbers again. The file name is left out, so `__FILE__` stays what it was.
///
/// The directive is at the first place after the hunk that lies outside of functions, macros, comments and
/// argument lists; nothing is put before the first hunk.
pub fn keep_numbers(original: &[u8], patched: &[u8]) -> Vec<u8> {
    let old: Vec<&[u8]> = original.split_inclusive(|b| *b == b'\n').collect();
    let new: Vec<&[u8]> = patched.split_inclusive(|b| *b == b'\n').collect();
    let twins = twins(&old, &new);
    let numbers = numbers(&old);
    let Some(first) = (0..new.len()).find(|p| twins[*p] != Some(*p)) else {
        return patched.into(); // equal, or lines are missing at the end only
    };
    let scanned = scan(&new);
    let mut out = Vec::with_capacity(patched.len() + 64);
    // The number that the compiler would give the next line, were it to take every branch that is written down.
    let mut number = 1;
    // It may have taken another branch, without the directive that was put there.
    let mut unsure = false;
    let mut open: Vec<bool> = Vec::new();
    for (p, line) in new.iter().enumerate() {
        if let Some(k) = twins[p].filter(|k| p >= first && (number != numbers[*k] || unsure)) {
            if p > 0 && scanned[p].file_scope && ends_definition(new[p - 1]) {
                number = numbers[k];
                out.extend_from_slice(format!("#line {number}\n").as_bytes());
                unsure = false;
                open.iter_mut().for_each(|o| *o = true);
            }
        }
        out.extend_from_slice(line);
        number += 1;
        match scanned[p].directive {
            Some(Directive::If) => open.push(false),
            Some(Directive::Else) => unsure |= open.last().copied().unwrap_or_default(),
            Some(Directive::Endif) => unsure |= open.pop().unwrap_or_default(),
            Some(Directive::Line(n)) => {
                number = n;
                open.iter_mut().for_each(|o| *o = true);
            }
            _ => {}
        }
    }
    out
}

/// For each new line the old line that it is, if it was there before.
fn twins(old: &[&[u8]], new: &[&[u8]]) -> Vec<Option<usize>> {
    let mut twins = vec![None; new.len()];
    for op in capture_diff_slices(Algorithm::Myers, old, new) {
        if let DiffOp::Equal { old_index, new_index, len } = op {
            for i in 0..len {
                twins[new_index + i] = Some(old_index + i);
            }
        }
    }
    twins
}

/// The number that each line has for the compiler, `#line` directives of the text itself counted in.
fn numbers(lines: &[&[u8]]) -> Vec<u64> {
    let mut number = 1;
    scan(lines)
        .iter()
        .map(|line| {
            let this = number;
            number = match line.directive {
                Some(Directive::Line(n)) => n,
                _ => number + 1,
            };
            this
        })
        .collect()
}

/// A line after which, at file scope, nothing is left half-said.
fn ends_definition(line: &[u8]) -> bool {
    matches!(line.trim_ascii_end().last(), None | Some(b';' | b'}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(original: &str, patched: &str) -> String {
        String::from_utf8(keep_numbers(original.as_bytes(), patched.as_bytes())).unwrap()
    }

    const TWO: &str = "int f(void)\n{\n\treturn 1;\n}\n\nint g(void)\n{\n\treturn 2;\n}\n";

    #[test]
    fn added_lines() {
        let patched = TWO.replace("\treturn 1;\n", "\tx();\n\ty();\n\treturn 1;\n");
        assert_eq!(keep(TWO, &patched), patched.replace("}\n\nint g", "}\n#line 5\n\nint g"));
    }

    #[test]
    fn removed_lines_and_a_whole_function() {
        let original = format!("int a;\n\n{TWO}");
        let patched = original.replace("int a;\n", "");
        assert_eq!(keep(&original, &patched), original.replace("int a;\n\nint f", "\n#line 3\nint f"));
        let patched = TWO.replace("int f(void)\n{\n\treturn 1;\n}\n\n", "");
        // The removed lines came first: no place before the end of g is known to be safe.
        assert_eq!(keep(TWO, &patched), patched);
    }

    #[test]
    fn equal_counts_need_nothing() {
        let patched = TWO.replace("return 1", "return 3");
        assert_eq!(keep(TWO, &patched), patched);
        assert_eq!(keep(TWO, TWO), TWO);
        assert_eq!(keep("", ""), "");
        assert_eq!(keep("", "int a;\n"), "int a;\n");
        assert_eq!(keep("int a;\n", ""), "");
    }

    #[test]
    fn a_hunk_at_the_end_needs_nothing() {
        let patched = TWO.replace("\treturn 2;\n", "\tx();\n\treturn 2;\n");
        assert_eq!(keep(TWO, &patched), patched);
    }

    #[test]
    fn several_hunks() {
        let original = format!("{TWO}\nint h(void)\n{{\n\treturn 3;\n}}\n\nint i;\n");
        let patched = original
            .replace("\treturn 1;\n", "\tx();\n\treturn 1;\n")
            .replace("\treturn 3;\n", "\tz();\n\treturn 3;\n");
        let want = patched.replace("}\n\nint g", "}\n#line 5\n\nint g").replace("}\n\nint i", "}\n#line 15\n\nint i");
        assert_eq!(keep(&original, &patched), want);
        // The second undoes the shift of the first within one function: nothing moved below.
        let patched =
            TWO.replace("{\n\treturn 1;\n}\n\nint g(void)\n{\n", "{\n\tx();\n\treturn 1;\n}\nint g(void)\n{\n");
        assert_eq!(keep(TWO, &patched), patched);
    }

    #[test]
    fn not_within_a_macro_comment_or_argument_list() {
        let original = "#define A(x) \\\n\tdo { \\\n\t\tx; \\\n\t} while (0)\n\n/* a\n\n b; */\nX(a,\n\n  b;\n);\nint c;\nint d;\n";
        let patched = original.replace("\t\tx; \\\n", "\t\tx; \\\n\t\ty; \\\n");
        assert_eq!(keep(original, &patched), patched.replace("(0)\n\n/*", "(0)\n\n#line 6\n/*"));
        let patched = original.replace("/* a\n", "/* a\n a\n");
        assert_eq!(keep(original, &patched), patched.replace(");\nint c", ");\n#line 13\nint c"));
    }

    #[test]
    fn a_branch_that_may_not_be_taken_is_left_sure() {
        let original = "#ifdef A\nint f(void)\n{\n}\n\nint g;\n#else\nint h;\nint i;\n#endif\nint j;\nint k;\n";
        let patched = original.replace("{\n}\n", "{\n\tx();\n}\n");
        let want =
            "#ifdef A\nint f(void)\n{\n\tx();\n}\n#line 5\n\nint g;\n#else\nint h;\n#line 9\nint i;\n#endif\nint j;\n\
                    #line 12\nint k;\n";
        assert_eq!(keep(original, &patched), want);
    }

    #[test]
    fn line_directives_of_the_text_itself_count() {
        let original = format!("#line 100\n{TWO}");
        let patched = original.replace("\treturn 1;\n", "\tx();\n\treturn 1;\n");
        assert_eq!(keep(&original, &patched), patched.replace("}\n\nint g", "}\n#line 104\n\nint g"));
        // A directive below the hunk sets the number anyway.
        let original = format!("int a;\n{}", TWO.replace("}\n\n", "}\n#line 50\n\n"));
        let patched = original.replace("\treturn 1;\n", "\tx();\n\treturn 1;\n");
        let kept = keep(&original, &patched);
        assert_eq!(kept, patched.replace("}\n#line 50", "}\n#line 6\n#line 50"));
    }

    #[test]
    fn text_without_a_last_newline() {
        let patched = "int a;\nint b;\nint c;";
        assert_eq!(keep("int a;\nint c;", patched), "int a;\nint b;\n#line 2\nint c;");
    }
}
