// SPDX-License-Identifier: GPL-2.0-or-later
//! What is where in C text: for each line whether it begins in plain code at file scope, and its
//! preprocessor directive. Knows comments, literals, continuations and conditionals; expands nothing.

/// A directive that matters to line numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// `#if`, `#ifdef`, `#ifndef`.
    If,
    /// `#else` and the `#elif` family.
    Else,
    /// `#endif`.
    Endif,
    /// `#line N` or `# N "file"`: the next line has this number.
    Line(u64),
    /// Any other.
    Other,
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// It begins outside of functions, initialisers, argument lists, comments, literals and continued lines.
    pub file_scope: bool,
    /// It goes on in an argument list that began at file scope.
    pub in_arguments: bool,
    /// The directive that begins on it.
    pub directive: Option<Directive>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Code,
    Block,
    LineComment,
    Literal(u8),
}

/// Looks at every line of `lines` (each may end in its newline).
pub fn scan(lines: &[&[u8]]) -> Vec<Line> {
    let mut out = Vec::with_capacity(lines.len());
    let (mut braces, mut parens) = (0i32, 0i32);
    let mut conditionals: Vec<(i32, i32)> = Vec::new();
    let mut mode = Mode::Code;
    let mut continued = false;
    let mut in_directive = false;
    for raw in lines {
        let text = raw.trim_ascii_end();
        let fresh = mode != Mode::Block && !continued;
        if fresh {
            mode = Mode::Code;
            in_directive = false;
        }
        let directive = if fresh { directive(text) } else { None };
        let outside = fresh && braces == 0;
        out.push(Line { file_scope: outside && parens == 0, in_arguments: outside && parens > 0, directive });
        match directive {
            Some(Directive::If) => conditionals.push((braces, parens)),
            // Each branch begins as the first one did, so that `if (x) {` in both counts once.
            Some(Directive::Else) => (braces, parens) = conditionals.last().copied().unwrap_or((braces, parens)),
            Some(Directive::Endif) => _ = conditionals.pop(),
            _ => {}
        }
        in_directive |= directive.is_some();
        let mut i = 0;
        while i < text.len() {
            let (b, next) = (text[i], text.get(i + 1).copied());
            i += 1;
            match mode {
                Mode::Block if b == b'*' && next == Some(b'/') => (mode, i) = (Mode::Code, i + 1),
                Mode::Block | Mode::LineComment => {}
                Mode::Literal(_) if b == b'\\' => i += 1,
                Mode::Literal(end) if b == end => mode = Mode::Code,
                Mode::Literal(_) => {}
                Mode::Code => match b {
                    b'/' if next == Some(b'*') => (mode, i) = (Mode::Block, i + 1),
                    b'/' if next == Some(b'/') => mode = Mode::LineComment,
                    b'"' | b'\'' => mode = Mode::Literal(b),
                    _ if in_directive => {}
                    b'{' => braces += 1,
                    b'}' => braces = (braces - 1).max(0),
                    b'(' | b'[' => parens += 1,
                    b')' | b']' => parens = (parens - 1).max(0),
                    _ => {}
                },
            }
        }
        // gcc takes a backslash followed by blanks for a continuation too.
        continued = text.last() == Some(&b'\\');
        // In the kernel's style only a definition ends like this; it undoes what the conditionals confused.
        if fresh && parens == 0 && (text == b"}" || text == b"};") && raw.first() == Some(&b'}') {
            braces = 0;
        }
    }
    out
}

/// What a line is, where it is a directive of the preprocessor that kmend looks at.
pub fn directive(text: &[u8]) -> Option<Directive> {
    let rest = text.trim_ascii_start().strip_prefix(b"#")?.trim_ascii_start();
    let word = &rest[..rest.iter().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(rest.len())];
    Some(match word {
        b"if" | b"ifdef" | b"ifndef" => Directive::If,
        b"else" | b"elif" | b"elifdef" | b"elifndef" => Directive::Else,
        b"endif" => Directive::Endif,
        b"line" => number(&rest[4..]),
        _ if word.first().is_some_and(u8::is_ascii_digit) => number(rest),
        _ => Directive::Other,
    })
}

fn number(text: &[u8]) -> Directive {
    let digits: String =
        text.trim_ascii_start().iter().take_while(|b| b.is_ascii_digit()).map(|b| *b as char).collect();
    digits.parse().map_or(Directive::Other, Directive::Line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> String {
        let lines: Vec<&[u8]> = text.as_bytes().split_inclusive(|b| *b == b'\n').collect();
        scan(&lines).iter().map(|l| if l.file_scope { '.' } else { 'x' }).collect()
    }

    #[test]
    fn scopes_of_lines() {
        assert_eq!(scopes("int a;\nint f(int b,\n int c)\n{\n\treturn b;\n}\n\nint d;\n"), "..x.xx..");
        assert_eq!(scopes("/* {\n * }\n */\nint a; /* x\n*/ int b;\n"), ".xx.x");
        assert_eq!(scopes("#define A(x) \\\n\tdo { \\\n\t} while (0)\nint a;\n"), ".xx.");
        assert_eq!(scopes("char *s = \"{ \\\" (\";\nchar c = '{';\nint a; // {\nint b;\n"), "....");
        assert_eq!(scopes("int a[] = {\n\t1,\n};\nMODULE_X(a,\n\tb);\nint c;\n"), ".xx.x.");
        // Both branches open a brace.
        assert_eq!(
            scopes("int f(void) {\n#ifdef A\n\tif (x) {\n#else\n\tif (y) {\n#endif\n\t}\n }\nint a;\n"),
            ".xxxxxxx."
        );
        // Prose under #if 0 with a lonely apostrophe does not swallow the rest.
        assert_eq!(scopes("#if 0\ndon't do this\n#endif\nint a;\n"), "....");
        assert_eq!(scopes("char *s = \"a\\\nb{\";\nint a;\n"), ".x.");
        assert_eq!(scopes("int a; // x \\\n still {\nint b;\n"), ".x.");
    }

    #[test]
    fn directives() {
        assert_eq!(directive(b"  #  ifdef X"), Some(Directive::If));
        assert_eq!(directive(b"#elif X"), Some(Directive::Else));
        assert_eq!(directive(b"#endif /* X */"), Some(Directive::Endif));
        assert_eq!(directive(b"#line 12 \"x\""), Some(Directive::Line(12)));
        assert_eq!(directive(b"# 7 \"x\""), Some(Directive::Line(7)));
        assert_eq!(directive(b"#include <x>"), Some(Directive::Other));
        assert_eq!(directive(b"#"), Some(Directive::Other));
        assert_eq!(directive(b"x #if"), None);
    }
}
