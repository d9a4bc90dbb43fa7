// SPDX-License-Identifier: GPL-2.0-or-later
//! What of a preprocessed unit can matter to its code: its text in, a checksum of its tokens and the words in them out. Two
//! texts with one checksum compile to the same code, and code refers to nothing whose name is not among the words.
//!
//! Left out are definitions of `static inline` functions, declarations of functions, of variables that are defined elsewhere
//! and of types, as long as nothing refers to them but others of their kind. The compiler makes no code of either, and no
//! other code hangs on them: whoever uses a member of a struct names the struct, or something whose declaration does. A
//! name counts as referred to wherever it is outside of them, in string literals too (inline assembler). What
//! is not plainly such a definition or declaration stays in: that costs time, never a unit.

mod types;

use super::words::Words;
use std::collections::{HashMap, HashSet};

/// Attributes that change nothing about a function that no one calls.
const HARMLESS: &[&str] = &[
    "access",
    "alloc_align",
    "alloc_size",
    "always_inline",
    "artificial",
    "assume_aligned",
    "btf_type_tag",
    "cold",
    "const",
    "copy",
    "deprecated",
    "error",
    "flatten",
    "format",
    "format_arg",
    "gnu_inline",
    "hot",
    "indirect_return",
    "leaf",
    "malloc",
    "may_alias",
    "no_address_safety_analysis",
    "no_instrument_function",
    "no_profile_instrument_function",
    "no_reorder",
    "no_sanitize",
    "no_sanitize_address",
    "no_sanitize_coverage",
    "no_sanitize_thread",
    "no_sanitize_undefined",
    "no_stack_protector",
    "nocf_check",
    "noclone",
    "noinline",
    "nonnull",
    "nonnull_if_nonzero",
    "noreturn",
    "nothrow",
    "null_terminated_string_arg",
    "optimize",
    "patchable_function_entry",
    "pure",
    "returns_nonnull",
    "section",
    "sentinel",
    "target",
    "unused",
    "visibility",
    "warn_unused_result",
    "warning",
];

/// Attributes that make the compiler keep or make something although no one refers to it.
pub const HARMFUL: &[&str] =
    &["alias", "constructor", "destructor", "externally_visible", "ifunc", "retain", "used", "weak", "weakref"];

/// Names with a number that counts up through the unit (`__COUNTER__`): all later ones change where one is added.
const COUNTED: [&[u8]; 2] = [b"__UNIQUE_ID_", b"__compiletime_assert_"];

/// Operators of more than one character, longest first.
const OPERATORS: [&[u8]; 24] = [
    b"...", b"<<=", b">>=", b"->", b"++", b"--", b"<<", b">>", b"<=", b">=", b"==", b"!=", b"&&", b"||", b"+=", b"-=",
    b"*=", b"/=", b"%=", b"&=", b"^=", b"|=", b"##", b"::",
];

/// Cuts a preprocessed text into tokens. A line that begins with `#` (a pragma) is one.
pub fn tokens(text: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::with_capacity(text.len() / 4);
    let mut at = 0;
    let mut fresh = true;
    while at < text.len() {
        let b = text[at];
        if b.is_ascii_whitespace() || b == 0x0b {
            fresh |= b == b'\n';
            at += 1;
            continue;
        }
        let rest = &text[at..];
        let len = match b {
            b'#' if fresh => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
            b'"' | b'\'' => literal(rest),
            _ if is_word(b) && !b.is_ascii_digit() => rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len()),
            b'0'..=b'9' => number(rest),
            b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) => number(rest),
            _ => OPERATORS.iter().find(|o| rest.starts_with(o)).map_or(1, |o| o.len()),
        };
        out.push(&rest[..len]);
        at += len;
        fresh = false;
    }
    out
}

/// Whether `b` may be in an identifier or a number.
pub fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80
}

fn literal(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            b if b == text[0] => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// A preprocessing number: `0x1fUL`, `1e+5`.
fn number(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&b) = text.get(at) {
        let sign = matches!(b, b'+' | b'-') && matches!(text[at - 1], b'e' | b'E' | b'p' | b'P');
        if !is_word(b) && b != b'.' && !sign {
            break;
        }
        at += 1;
    }
    at
}

/// A declaration or definition at file scope: tokens from .. to, and the names that it can be left out under, when nothing
/// refers to any of them. None: it stays.
struct Item<'t> {
    from: usize,
    to: usize,
    names: Vec<&'t [u8]>,
}

fn is_open(t: &[u8]) -> bool {
    matches!(t, b"(" | b"[" | b"{")
}

fn is_close(t: &[u8]) -> bool {
    matches!(t, b")" | b"]" | b"}")
}

/// Cuts a unit at file scope. Where two items are taken for one, or one for two, both stay in.
fn items<'t>(tokens: &[&'t [u8]]) -> Vec<Item<'t>> {
    let mut out = Vec::new();
    let (mut from, mut depth, mut initialiser, mut function) = (0, 0usize, false, false);
    for (at, t) in tokens.iter().enumerate() {
        match *t {
            b"{" if depth == 0 => {
                function = !initialiser && at > from && tokens[at - 1] == b")";
                depth = 1;
            }
            t if is_open(t) => depth += 1,
            t if is_close(t) => depth = depth.saturating_sub(1),
            b"=" if depth == 0 => initialiser = true,
            _ => {}
        }
        let pragma = depth == 0 && at == from && t.first() == Some(&b'#');
        if depth == 0 && (*t == b";" || (*t == b"}" && function) || pragma) {
            let item = &tokens[from..=at];
            let names = name(item).map(|n| vec![n]).or_else(|| types::names(item)).unwrap_or_default();
            out.push(Item { from, to: at + 1, names });
            (from, initialiser, function) = (at + 1, false, false);
        }
    }
    if from < tokens.len() {
        out.push(Item { from, to: tokens.len(), names: Vec::new() });
    }
    out
}

/// The index behind the bracket that closes the one at `open`.
pub fn behind(item: &[&[u8]], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, t) in item.iter().enumerate().skip(open) {
        if is_open(t) {
            depth += 1;
        } else if is_close(t) {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at + 1);
            }
        }
    }
    None
}

/// The name of an item that may be left out when nothing else has that name in it.
fn name<'t>(item: &[&'t [u8]]) -> Option<&'t [u8]> {
    if item.iter().any(|t| t.first() == Some(&b'#')) {
        return None;
    }
    let is_static = item.first() == Some(&&b"static"[..]);
    let (mut inline, mut typed) = (false, false);
    let mut at = usize::from(is_static);
    let (name, mut at) = loop {
        match *item.get(at)? {
            b"__attribute__" | b"__attribute" => at = attribute(item, at)?,
            b"typeof" | b"__typeof__" | b"__typeof" => (typed, at) = (true, behind(item, at + 1)?),
            b"inline" | b"__inline" | b"__inline__" => (inline, at) = (true, at + 1),
            b"typedef" | b"asm" | b"__asm__" | b"__asm" | b"_Static_assert" | b"static_assert" => return None,
            t if is_word(t[0]) && !t[0].is_ascii_digit() => {
                if *item.get(at + 1)? == b"(" {
                    break (t, behind(item, at + 1)?);
                }
                typed |= t != b"extern";
                at += 1;
            }
            b"*" => at += 1,
            _ => return None,
        }
    };
    while matches!(*item.get(at)?, b"__attribute__" | b"__attribute") {
        at = attribute(item, at)?;
    }
    // `int (x)` is a variable, `name(…)` with no type before it a macro that is left.
    if !typed || implied(name) {
        return None;
    }
    let whole = match (is_static, *item.get(at)?) {
        (true, b"{") if inline => behind(item, at)? == item.len() && quiet(&item[at..]),
        (false, b";") if !inline => at + 1 == item.len() && quiet(item),
        _ => false,
    };
    whole.then_some(name)
}

/// Functions that the compiler calls of its own accord.
pub fn implied(name: &[u8]) -> bool {
    let begins = |p: &[&[u8]]| p.iter().any(|p| name.starts_with(p));
    let has = |part: &[u8]| name.windows(part.len()).any(|w| w == part);
    begins(&[b"mem", b"str", b"__mem", b"__builtin", b"__fentry", b"_mcount", b"__sanitizer"])
        || name == b"abort"
        // `__stack_chk_fail`, `__ref_stack_chk_guard`.
        || has(b"stack_chk")
        // Sanitizers' own: `__asan_load8`.
        || name.starts_with(b"__") && has(b"san")
}

/// The index behind an attribute of a function that may be left out; None where it has others.
fn attribute(item: &[&[u8]], at: usize) -> Option<usize> {
    let end = behind(item, at + 1)?;
    if *item.get(at + 2)? != b"(" {
        return None;
    }
    let mut depth = 0usize;
    for t in &item[at + 1..end] {
        match *t {
            b"(" => depth += 1,
            b")" => depth -= 1,
            t if depth == 2 && is_word(t[0]) => {
                let bare = t.strip_prefix(b"__").and_then(|t| t.strip_suffix(b"__")).unwrap_or(t);
                if !HARMLESS.iter().any(|h| h.as_bytes() == bare) {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(end)
}

/// Whether nothing in it makes the compiler keep something that no one refers to, or says something about a name
/// that others may use.
fn quiet(tokens: &[&[u8]]) -> bool {
    for (at, t) in tokens.iter().enumerate() {
        match *t {
            b"__attribute__" | b"__attribute" => {
                let Some(end) = behind(tokens, at + 1) else { return false };
                let bare = |t: &[u8]| {
                    let bare = t.strip_prefix(b"__").and_then(|t| t.strip_suffix(b"__")).unwrap_or(t);
                    HARMFUL.iter().any(|h| h.as_bytes() == bare)
                };
                if tokens[at + 1..end].iter().any(|t| bare(t)) {
                    return false;
                }
            }
            // The declarations in BUILD_BUG_ON have names of their own, others may say something new of a known name.
            b"extern" if at > 0 => {
                let called = tokens[at..].windows(2).find(|w| w[1] == b"(").map(|w| w[0]);
                if !called.is_some_and(|n| n.starts_with(COUNTED[1])) {
                    return false;
                }
            }
            b"_Pragma" | b"__pragma" => return false,
            _ => {}
        }
    }
    true
}

/// The words in a token: itself, or those in a string or a pragma.
fn words(token: &[u8]) -> impl Iterator<Item = &[u8]> {
    let string = matches!(token.first(), Some(b'"' | b'#'));
    let whole = (!string && token.first().is_some_and(|b| is_word(*b) && !b.is_ascii_digit())).then_some(token);
    let parts = string.then(|| token.split(|b| !is_word(*b)).filter(|w| !w.is_empty()));
    whole.into_iter().chain(parts.into_iter().flatten())
}

/// What matters in a preprocessed C text: its checksum, and the words in it.
pub fn digest(text: &[u8]) -> (String, Words) {
    let tokens = tokens(text);
    let items = items(&tokens);
    let words_of = |item: &Item<'_>| tokens[item.from..item.to].iter().flat_map(|t| words(t)).collect::<Vec<_>>();
    let mut referred: HashSet<&[u8]> = HashSet::new();
    let mut named: HashMap<&[u8], Vec<usize>> = HashMap::new();
    let mut kept = vec![true; items.len()];
    for (n, item) in items.iter().enumerate() {
        match item.names.is_empty() {
            true => referred.extend(words_of(item)),
            false => {
                kept[n] = false;
                item.names.iter().for_each(|name| named.entry(name).or_default().push(n));
            }
        }
    }
    // What is kept keeps all that it names.
    let mut next: Vec<usize> =
        named.iter().filter(|(name, _)| referred.contains(*name)).flat_map(|(_, n)| n.clone()).collect();
    while let Some(n) = next.pop() {
        if std::mem::replace(&mut kept[n], true) {
            continue;
        }
        for word in words_of(&items[n]) {
            if referred.insert(word) {
                next.extend(named.get(word).into_iter().flatten());
            }
        }
    }
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut numbers: HashMap<&[u8], usize> = HashMap::new();
    for item in items.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(item, _)| item) {
        for token in &tokens[item.from..item.to] {
            if COUNTED.iter().any(|c| token.starts_with(c)) && token.last().is_some_and(u8::is_ascii_digit) {
                let known = numbers.len();
                let number = *numbers.entry(token).or_insert(known);
                let stem = token.len() - token.iter().rev().take_while(|b| b.is_ascii_digit()).count();
                out.extend_from_slice(&token[..stem]);
                out.extend_from_slice(format!("\x01{number}").as_bytes());
            } else {
                out.extend_from_slice(token);
            }
            out.push(0);
        }
    }
    (crate::files::sha256(&out), referred.into_iter().collect())
}

/// The same of a preprocessed assembler text: every line counts, blanks at its ends do not.
pub fn digest_of_assembler(text: &[u8]) -> (String, Words) {
    let lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty());
    let digest = crate::files::sha256(&lines.flat_map(|l| [l, b"\n"]).collect::<Vec<_>>().concat());
    // `$name` is an operand.
    (digest, text.split(|b| !is_word(*b) || *b == b'$').filter(|w| !w.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        digest(a.as_bytes()).0 == digest(b.as_bytes()).0
    }

    const USE: &str = "int f(int x) { return x + 1; }\n";

    #[test]
    fn blanks_do_not_count_and_tokens_do() {
        assert!(same("int  a ;\n\n int b;", "int a; int b;"));
        assert!(!same("int a;", "int b;"));
        assert!(!same("int f(int a, int b) { return a - -b; }", "int f(int a, int b) { return a --b; }"));
        assert!(!same("int f(int a) { return a+ +a; }", "int f(int a) { return a++a; }"));
        assert!(!same("char *s = \"a b\";", "char *s = \"a  b\";"));
        assert!(!same("char c = '\\'';int a;", "char c = '\\\\';int a;"));
        assert!(!same("double d = 1e+5;", "double d = 1e +5;"));
        assert!(!same("#pragma pack(1)\nint a;", "#pragma pack(2)\nint a;"));
        assert!(!same("#pragma pack(1)\nint a;", "int a;"));
    }

    #[test]
    fn functions_that_nobody_calls_are_left_out() {
        let with = |f: &str| same(&format!("{f}\n{USE}"), USE);
        assert!(with("static inline int g(int x) { return x; }"));
        assert!(with("static inline __attribute__((__gnu_inline__)) __attribute__((__unused__)) struct s *g(struct s *x, int (*y)(void)) { return x; }"));
        assert!(with(
            "static inline __attribute__((patchable_function_entry(0, 0))) int g(void) { if (1) { h(); } return 0; }"
        ));
        assert!(with("static __inline__ typeof(int) *g(void) __attribute__((pure)) { return 0; }"));
        // One another.
        assert!(with("static inline int g(void) { return h(); } static inline int h(void) { return g(); }"));
        // Not inline, not static, or not a function.
        assert!(!with("static int g(int x) { return x; }"));
        assert!(!with("int g(int x) { return x; }"));
        assert!(!with("extern inline __attribute__((gnu_inline)) int g(int x) { return x; }"));
        assert!(!with("static inline int (*g(void))(int) { return 0; }"));
        assert!(!with("static int g;"));
        assert!(!with("static inline struct s { int a; } g(void) { struct s x; return x; }"));
    }

    #[test]
    fn what_something_refers_to_stays() {
        let g = |body: &str| format!("static inline int g(int x) {{ return {body}; }}\n");
        let h = |body: &str| format!("static inline int h(int x) {{ return {body}; }}\n");
        let differ =
            |rest: &str| !same(&format!("{}{}{rest}", g("1"), h("g(x)")), &format!("{}{}{rest}", g("2"), h("g(x)")));
        assert!(!differ(USE));
        assert!(differ("int f(int x) { return g(x); }"));
        assert!(differ("int f(int x) { return h(x); }"));
        assert!(differ("static int (*p)(int) = h;"));
        assert!(differ("struct s { int (*f)(int); } s = { .f = g };"));
        assert!(differ("asm(\"call g\");"));
        assert!(differ("void f(void) { __asm__(\"jmp h\\n\"); }"));
        // As a prototype, or as another thing of that name.
        assert!(differ("static inline int g(int x);"));
        assert!(differ("struct g { int a; } x;"));
        assert!(!differ("struct g { int a; };"));
        assert!(differ("void f(void) { int x __attribute__((cleanup(h))); }"));
        assert!(differ("#pragma weak g\n"));
    }

    #[test]
    fn what_the_compiler_keeps_stays() {
        let changes = |f: &str| !same(&f.replace("ONE", "1"), &f.replace("ONE", "2"));
        assert!(!changes("static inline int g(void) { return ONE; }"));
        assert!(changes("static inline __attribute__((used)) int g(void) { return ONE; }"));
        assert!(changes("static inline __attribute__((__used__)) int g(void) { return ONE; }"));
        assert!(changes("static inline __attribute__((constructor)) int g(void) { return ONE; }"));
        assert!(changes("static inline __attribute__((no_such_attribute)) int g(void) { return ONE; }"));
        assert!(changes("static inline int g(void) { static void *p __attribute__((__used__)) __attribute__((section(\"x\"))) = &y; return ONE; }"));
        assert!(!changes(
            "static inline int g(void) { static int p __attribute__((__section__(\"x\"))); return ONE; }"
        ));
        assert!(changes("static inline int g(void) { extern int y __attribute__((weak)); return ONE; }"));
        assert!(changes("static inline int g(void) { extern int y(void); return ONE; }"));
        assert!(!changes("static inline int g(void) { extern void __compiletime_assert_7(void) __attribute__((error(\"x\"))); return ONE; }"));
        assert!(changes("static inline int g(void)\n{\n#pragma pack(1)\nreturn ONE; }"));
        assert!(changes("static inline void *memcpy(void *a, void *b, long n) { return ONE; }"));
    }

    #[test]
    fn declarations_that_nobody_needs_are_left_out() {
        let with = |d: &str| same(&format!("{d}\n{USE}"), USE);
        assert!(with("extern int g(struct s *x);"));
        assert!(with("struct s *g(int (*f)(int), ...) __attribute__((__format__(printf, 1, 2)));"));
        assert!(with("extern __attribute__((__section__(\".init.text\"))) __attribute__((cold)) void g(void);"));
        assert!(!with("typedef int g(void);"));
        assert!(!with("int g(void) __attribute__((alias(\"f\")));"));
        assert!(!with("int g(void) __asm__(\"f\");"));
        assert!(!with("int g(int), f(int);"));
        assert!(!with("extern struct s { int a; } g(void);"));
        assert!(!with("_Static_assert(sizeof(int) == 4, \"\");"));
        assert!(!with("MACRO(x);"));
        assert!(!with("void *memset(void *s, int c, long n);"));
        let needed = |d: &str| format!("{d}\nint f(int x) {{ return g(x); }}");
        assert!(!same(&needed("int g(int);"), &needed("int g(long);")));
    }

    #[test]
    fn types_that_nobody_needs_are_left_out() {
        let s = |member: &str, rest: &str| format!("struct s {{ {member}; enum {{ A, B }} e; }};\n{rest}\n{USE}");
        let matters = |rest: &str| !same(&s("int a", rest), &s("long a", rest));
        assert!(!matters(""));
        assert!(!matters("struct s *g(void); extern struct s v; typedef struct s t; struct u { struct s in; };"));
        assert!(!matters("static inline int g(struct s *s) { return s->a; }"));
        assert!(matters("struct s *x;"));
        assert!(matters("int x = B;"));
        assert!(matters("extern struct s v; void *x = &v.a;"));
        assert!(matters("typedef struct s t; t x;"));
        assert!(matters(
            "struct u { struct s in; }; struct t { struct u *u; }; int h(struct t *t) { return t->u->in.a; }"
        ));
        assert!(matters("struct s *g(void); int h(void) { return g()->a; }"));
        assert!(matters("static inline int g(struct s *s) { return s->a; }  int (*h)() = g;"));
        assert!(matters("_Static_assert(sizeof(struct s) == 8, \"\");"));
    }

    #[test]
    fn numbers_that_count_up_are_told_by_their_order() {
        let text = |n: usize| {
            format!(
                "static inline void g(void) {{ extern void __compiletime_assert_{n}(void); }}\n\
                 int f(int __UNIQUE_ID_x_{}) {{ return __UNIQUE_ID_x_{0} + __UNIQUE_ID_x_{}; }}",
                n + 1,
                n + 2
            )
        };
        assert!(same(&text(1), &text(40)));
        assert!(!same(&text(1), &text(1).replace("ID_x_3", "ID_x_2")));
        assert!(!same("int x_1;", "int x_2;"));
    }

    #[test]
    fn assembler_counts_by_the_line() {
        assert_eq!(digest_of_assembler(b"\n\tnop\n\n ret"), digest_of_assembler(b"nop\nret\n"));
        assert_ne!(digest_of_assembler(b"nop\nret"), digest_of_assembler(b"nop ret"));
    }

    #[test]
    fn broken_text_is_no_panic() {
        for text in [
            "",
            ")",
            "static inline f(",
            "static inline int f(void) {",
            "}}}",
            "\"",
            "'",
            "static inline __attribute__",
            "int f(void) __attribute__((",
            "a ) ; {",
        ] {
            assert_eq!(digest(text.as_bytes()).0.len(), 64, "{text}");
        }
    }
}
