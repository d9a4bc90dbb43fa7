// SPDX-License-Identifier: GPL-2.0-or-later
//! Declarations of types and of variables that are defined elsewhere: an item at file scope in, the names that it makes
//! known out. Whoever depends on such an item has one of these names in it, or depends on another item that has.

use super::{behind, implied, is_word, quiet};

/// What an item is made of at its outermost level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Atom<'i, 't> {
    Word(&'t [u8]),
    Star,
    /// What is in round brackets.
    Round(&'i [&'t [u8]]),
    Square,
    /// What is in braces.
    Braces(&'i [&'t [u8]]),
    /// An attribute, or the type of an expression.
    Aside,
    Comma,
}

/// The names that an item makes known, if it is the declaration of a type or of a variable that is defined elsewhere, and
/// is nothing else besides.
pub(super) fn names<'t>(item: &[&'t [u8]]) -> Option<Vec<&'t [u8]>> {
    let (last, rest) = item.split_last()?;
    if *last != b";" || item.iter().any(|t| t.first() == Some(&b'#')) {
        return None;
    }
    let (first, declared) = (*rest.first()?, atoms(rest)?);
    let mut names = match first {
        b"typedef" => vec![typedef(declared.get(1..)?)?],
        b"extern" if quiet(item) => vec![variable(declared.get(1..)?)?],
        b"struct" | b"union" | b"enum" => tag(&declared)?,
        _ => return None,
    };
    inner(rest, &mut names);
    (!names.is_empty()).then_some(names)
}

fn atoms<'i, 't>(item: &'i [&'t [u8]]) -> Option<Vec<Atom<'i, 't>>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(token) = item.get(at) {
        let group = |from: usize| Some((item.get(from + 1..behind(item, from)? - 1)?, behind(item, from)?));
        let (atom, next) = match *token {
            b"__attribute__" | b"__attribute" | b"typeof" | b"__typeof__" | b"__typeof" | b"_Alignas" => {
                (Atom::Aside, group(at + 1)?.1)
            }
            b"asm" | b"__asm__" | b"__asm" => return None,
            b"*" => (Atom::Star, at + 1),
            b"," => (Atom::Comma, at + 1),
            b"(" => group(at).map(|(inside, next)| (Atom::Round(inside), next))?,
            b"[" => (Atom::Square, group(at)?.1),
            b"{" => group(at).map(|(inside, next)| (Atom::Braces(inside), next))?,
            t if is_word(t[0]) && !t[0].is_ascii_digit() => (Atom::Word(t), at + 1),
            _ => return None,
        };
        out.push(atom);
        at = next;
    }
    Some(out)
}

/// `struct s { … };`, `struct s;`
fn tag<'t>(declared: &[Atom<'_, 't>]) -> Option<Vec<&'t [u8]>> {
    let (mut names, mut body) = (Vec::new(), false);
    for atom in declared.get(1..)? {
        match atom {
            Atom::Aside => {}
            Atom::Word(tag) if names.is_empty() && !body => names.push(*tag),
            Atom::Braces(_) if !body => body = true,
            _ => return None,
        }
    }
    Some(names)
}

/// `typedef int t;`, `typedef int t[2];`, `typedef int (*t)(int);`
fn typedef<'t>(declared: &[Atom<'_, 't>]) -> Option<&'t [u8]> {
    match declared.iter().filter(|a| !matches!(a, Atom::Aside)).collect::<Vec<_>>().as_slice() {
        all if all.contains(&&Atom::Comma) => None,
        [.., Atom::Round(pointer), Atom::Round(_)] => match **pointer {
            [b"*", name] if is_word(name[0]) => Some(name),
            _ => None,
        },
        all => name_before_brackets(all),
    }
}

/// `extern int v;`, `extern struct s v[];`
fn variable<'t>(declared: &[Atom<'_, 't>]) -> Option<&'t [u8]> {
    let all: Vec<&Atom<'_, '_>> = declared.iter().filter(|a| !matches!(a, Atom::Aside)).collect();
    let plain = |a: &&Atom<'_, '_>| matches!(a, Atom::Word(_) | Atom::Star | Atom::Square);
    let name = all.iter().all(plain).then(|| name_before_brackets(&all))??;
    (!implied(name)).then_some(name)
}

fn name_before_brackets<'t>(all: &[&Atom<'_, 't>]) -> Option<&'t [u8]> {
    let end = all.iter().rposition(|a| **a != Atom::Square)?;
    match all.get(end)? {
        Atom::Word(name) => Some(name),
        _ => None,
    }
}

/// Tags that are defined within, and enumerators.
fn inner<'t>(item: &[&'t [u8]], names: &mut Vec<&'t [u8]>) {
    for (at, keyword) in item.iter().enumerate() {
        if !matches!(*keyword, b"struct" | b"union" | b"enum") {
            continue;
        }
        let mut next = at + 1;
        let mut tag = None;
        while let Some(token) = item.get(next) {
            match *token {
                b"__attribute__" | b"__attribute" => match behind(item, next + 1) {
                    Some(end) => next = end,
                    None => return,
                },
                t if is_word(t[0]) && tag.is_none() => (tag, next) = (Some(t), next + 1),
                _ => break,
            }
        }
        if item.get(next) != Some(&&b"{"[..]) {
            continue;
        }
        names.extend(tag);
        if *keyword == b"enum" {
            enumerators(&item[next..], names);
        }
    }
}

/// The words behind the brace that opens, and behind each comma.
fn enumerators<'t>(braces: &[&'t [u8]], names: &mut Vec<&'t [u8]>) {
    let mut depth = 0usize;
    for (at, token) in braces.iter().enumerate() {
        match *token {
            b"{" | b"(" | b"[" => depth += 1,
            b"}" | b")" | b"]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return;
        }
        if depth == 1 && matches!(*token, b"{" | b",") {
            names.extend(braces.get(at + 1).filter(|t| is_word(t[0])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens;
    use super::*;

    fn of(text: &str) -> Option<Vec<String>> {
        let names = names(&tokens(text.as_bytes()))?;
        Some(names.into_iter().map(|n| String::from_utf8_lossy(n).into_owned()).collect())
    }

    #[test]
    fn types_are_known_by_their_names() {
        let known = |text: &str, names: &[&str]| assert_eq!(of(text).unwrap_or_default(), names, "{text}");
        known("struct s;", &["s"]);
        known("struct s { int a; struct t *b; };", &["s", "s"]);
        known("struct __attribute__((packed)) s { int a; } __attribute__((aligned(8)));", &["s", "s"]);
        known("union u { struct in { int a; } x; enum { A = 1 << (2, 3), B } y; };", &["u", "u", "in", "A", "B"]);
        known("enum { A, B = 2, };", &["A", "B"]);
        known("enum e : int { A };", &[]);
        known("typedef unsigned int t;", &["t"]);
        known("typedef typeof(int) t;", &["t"]);
        known("typedef struct s { int a; } t[2] __attribute__((aligned(4)));", &["t", "s"]);
        known("typedef struct s *(*t)(int, struct s *);", &["t"]);
        known("extern struct s v;", &["v"]);
        known("extern const char *v[], w;", &[]);
        known("extern __attribute__((section(\".data\"))) typeof(int) v;", &["v"]);
    }

    #[test]
    fn what_may_be_more_than_a_declaration_is_not_known() {
        for text in [
            "struct s { int a; } x;",
            "struct { int a; };",
            "enum e { A } x;",
            "int v;",
            "extern int v = 1;",
            "extern int v __asm__(\"w\");",
            "extern int v __attribute__((weak));",
            "extern int v __attribute__((alias(\"f\")));",
            "extern int f(int);",
            "extern unsigned long __ref_stack_chk_guard;",
            "typedef int t, u;",
            "typedef int (t);",
            "typedef int (*t[2])(void);",
            "struct s { int a;\n#pragma pack(1)\n};",
            "register int v;",
            "static int v;",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
