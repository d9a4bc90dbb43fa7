// SPDX-License-Identifier: GPL-2.0-or-later
//! Changes every function of a C file in a way that means nothing: text in, its functions and a patch out.

use kmend_builder::c::lex::{scan, Line};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The first statement of each changed function. It leaves one instruction in the code, which does nothing.
const NOTHING: &str = "\tasm volatile(\"nop\");";

/// Words in the head of a function that rule it out: its code is gone once the kernel runs, or ftrace has no site in it.
const NEVER: &[&str] = &["__init", "__exit", "noinstr", "notrace", "__naked", "__head"];

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// The definition of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name; of one that a macro defines, the macro's first argument.
    pub name: String,
    /// A macro defines it (`SYSCALL_DEFINE3(name, …)`): its symbols have the name in them.
    pub by_macro: bool,
    /// The index of the line with its opening brace.
    line: usize,
    /// The index of the line with its closing brace.
    end: usize,
    /// The word of its head that rules it out.
    pub never: Option<&'static str>,
}

impl Function {
    /// Whether `symbol` is one of its symbols: `f`, `f.cold`, `f.constprop.0`, `__do_sys_f`.
    pub fn has_symbol(&self, symbol: &str) -> bool {
        let base = symbol.split('.').next().unwrap_or(symbol);
        base == self.name || self.by_macro && base.ends_with(&self.name)
    }
}

/// The functions of a C file in the kernel's style: the opening brace is a line of its own.
pub fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let raw: Vec<&[u8]> = lines.iter().map(|l| l.as_bytes()).collect();
    let scopes = scan(&raw);
    let mut found = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(at, l)| l.trim_end() == "{" && scopes[*at].file_scope) {
        let head = head(&lines, &scopes, at);
        let Some((name, by_macro)) = name_of(&head) else { continue };
        let Some(end) = (at..lines.len()).find(|&i| lines[i].starts_with('}')) else { continue };
        let words: BTreeSet<&str> = head.split(|c: char| !is_word(c)).collect();
        let never = NEVER.iter().copied().find(|word| words.contains(word));
        found.push(Function { name, by_macro, line: at, end, never });
    }
    found
}

/// The lines before an opening brace that belong to the definition, as one.
fn head(lines: &[&str], scopes: &[Line], brace: usize) -> String {
    let mut from = brace;
    while from > 0 {
        let (text, scope) = (lines[from - 1].trim_end(), &scopes[from - 1]);
        let is_part = (scope.file_scope || scope.in_arguments) && scope.directive.is_none();
        let is_end = text.is_empty() || [';', '}', '\\'].iter().any(|c| text.ends_with(*c)) || text.ends_with("*/");
        if !is_part || is_end {
            break;
        }
        from -= 1;
    }
    lines[from..brace].join(" ")
}

/// The name that a head defines, and whether a macro does; None where it is no head of a function.
fn name_of(head: &str) -> Option<(String, bool)> {
    if !head.trim_end().ends_with(')') || head.contains('=') {
        return None;
    }
    let mut before = head;
    let mut from = 0;
    while let Some(paren) = before.find('(') {
        let word = last_word(&before[..paren]);
        let rest = &before[paren + 1..];
        // `__printf(1, 2)` and the like are before the name; `__do_x(int y)` is one.
        let is_attribute = word == "__attribute__"
            || word.starts_with("__") && inside(rest).chars().all(|c| c.is_ascii_digit() || c == ',' || c == ' ');
        let is_before_the_name = is_attribute && rest[inside(rest).len()..].trim_start_matches(')').contains('(');
        if !word.is_empty() && !is_before_the_name {
            if word.chars().any(|c| c.is_ascii_lowercase()) {
                return Some((word.to_string(), false));
            }
            let first: String = rest.trim_start().chars().take_while(|c| is_word(*c)).collect();
            return (!first.is_empty()).then_some((first, true));
        }
        from += paren + 1 + inside(rest).len() + 1;
        before = head.get(from..)?;
    }
    None
}

/// What is before the parenthesis that closes.
fn inside(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return &text[..at],
            ')' => depth -= 1,
            _ => {}
        }
    }
    text
}

fn last_word(text: &str) -> &str {
    let text = text.trim_end();
    let start = text.rfind(|c| !is_word(c)).map_or(0, |at| at + 1);
    &text[start..]
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The names of functions that the body of `function` mentions.
pub fn mentions<'t>(text: &'t str, function: &Function) -> BTreeSet<&'t str> {
    let body = text.lines().skip(function.line).take(function.end + 1 - function.line);
    body.flat_map(|line| line.split(|c| !is_word(c))).filter(|w| !w.is_empty()).collect()
}

/// A unified diff of the file `path` that changes `functions`; empty where there are none.
pub fn patch(path: &str, text: &str, functions: &[&Function]) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').map(|l| l.strip_suffix('\n').unwrap_or(l)).collect();
    let mut after: Vec<usize> = functions.iter().map(|f| f.line).collect();
    after.sort_unstable();
    after.dedup();
    let mut hunks: Vec<Vec<usize>> = Vec::new();
    for at in after {
        match hunks.last_mut() {
            Some(hunk) if hunk.last().is_some_and(|last| at - last <= 2 * CONTEXT) => hunk.push(at),
            _ => hunks.push(vec![at]),
        }
    }
    let mut out = String::new();
    let mut added = 0;
    for hunk in &hunks {
        let (first, last) = (hunk[0], hunk[hunk.len() - 1]);
        let from = (first + 1).saturating_sub(CONTEXT);
        let to = (last + 1 + CONTEXT).min(lines.len());
        if out.is_empty() {
            let _ = write!(out, "--- a/{path}\n+++ b/{path}\n");
        }
        let (old, new) = (to - from, to - from + hunk.len());
        let _ = writeln!(out, "@@ -{},{old} +{},{new} @@", from + 1, from + 1 + added);
        for (i, line) in lines.iter().enumerate().take(to).skip(from) {
            let _ = writeln!(out, " {line}");
            if hunk.contains(&i) {
                let _ = writeln!(out, "+{NOTHING}");
            }
        }
        added += hunk.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "#include <x.h>\n\nstruct a\n{\n\tint b;\n};\n\nstatic int __init start(void)\n{\n\treturn 0;\n}\n\n\
                        static __printf(1, 2) void\nsay(const char *fmt, ...)\n{\n}\n\n\
                        SYSCALL_DEFINE2(read, int, a,\n\t\tint, b)\n{\n\treturn say(\"\", a);\n}\n\n\
                        int __get(struct a *a)\n\t__must_hold(&a->lock)\n{\n\treturn 1;\n}\nint c[] =\n{\n\t1,\n};\n\
                        #define X(y) \\\nint y(void) \\\n{ \\\n}\n";

    #[test]
    fn functions_are_found() {
        let found = functions(FILE);
        let names: Vec<(&str, bool, Option<&str>)> =
            found.iter().map(|f| (f.name.as_str(), f.by_macro, f.never)).collect();
        assert_eq!(
            names,
            [("start", false, Some("__init")), ("say", false, None), ("read", true, None), ("__get", false, None)]
        );
        assert!(found[2].has_symbol("__do_sys_read") && found[1].has_symbol("say.constprop.0"));
        assert!(!found[1].has_symbol("do_say"));
        assert!(mentions(FILE, &found[2]).contains("say") && !mentions(FILE, &found[1]).contains("read"));
    }

    #[test]
    fn the_patch_applies() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("x.c"), FILE).expect("written");
        let found = functions(FILE);
        let diff = patch("x.c", FILE, &found.iter().collect::<Vec<_>>());
        std::fs::write(dir.path().join("p"), &diff).expect("written");
        let git = std::process::Command::new("git").args(["apply", "p"]).current_dir(dir.path()).status();
        assert!(git.expect("git runs").success(), "{diff}");
        let text = std::fs::read_to_string(dir.path().join("x.c")).expect("read");
        assert_eq!(text.matches(&format!("{{\n{NOTHING}\n")).count(), 4);
        assert_eq!(patch("x.c", FILE, &[]), "");
    }
}
