// SPDX-License-Identifier: GPL-2.0-or-later
//! What a declaration or definition at file scope is, and which names it gives something: its tokens in, its kind out.

use crate::c::tokens::{behind, is_word};

/// What is at file scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `#define`.
    Define(Vec<u8>),
    /// The definition of a `static inline` function.
    Inline(Vec<u8>),
    /// The declaration of a function.
    Prototype(Vec<u8>),
    /// The declaration of a variable that is defined elsewhere.
    Variable(Vec<u8>),
    /// A type: its tags, its enumerators, the names that a typedef gives it.
    Type(Vec<Vec<u8>>),
    /// `struct x;`, `;`.
    Nothing,
    /// Anything else.
    Other,
}

impl Kind {
    /// The names that it gives something.
    pub fn names(&self) -> impl Iterator<Item = &Vec<u8>> {
        let list: &[Vec<u8>] = match self {
            Self::Define(name) | Self::Inline(name) | Self::Prototype(name) | Self::Variable(name) => {
                std::slice::from_ref(name)
            }
            Self::Type(list) => list,
            Self::Nothing | Self::Other => &[],
        };
        list.iter()
    }
}

/// Macros with arguments that say something about a function, a variable or a type, and declare nothing.
const ATTRIBUTES: &[&str] = &[
    "__acquires",
    "__acquires_shared",
    "__aligned",
    "__alloc_size",
    "__assume_aligned",
    "__attribute",
    "__attribute__",
    "__compiletime_error",
    "__compiletime_warning",
    "__cond_acquires",
    "__cond_acquires_shared",
    "__cond_releases",
    "__copy",
    "__diagnose_as",
    "__malloc_like",
    "__must_hold",
    "__must_hold_shared",
    "__must_not_hold",
    "__no_context_analysis_for",
    "__nonnull",
    "__printf",
    "__realloc_size",
    "__releases",
    "__releases_shared",
    "__scanf",
    "__section",
    "_Alignas",
];

/// Words of that kind without arguments, where they are behind a declaration.
const PLAIN: &[&str] = &[
    "____cacheline_aligned",
    "____cacheline_aligned_in_smp",
    "__attribute_const__",
    "__cacheline_aligned",
    "__cacheline_aligned_in_smp",
    "__cold",
    "__const",
    "__deprecated",
    "__exit",
    "__init",
    "__initdata",
    "__malloc",
    "__maybe_unused",
    "__must_check",
    "__no_context_analysis",
    "__noreturn",
    "__packed",
    "__percpu",
    "__pure",
    "__randomize_layout",
    "__read_mostly",
    "__ro_after_init",
    "__rcu",
    "__designated_init",
    "noinstr",
];

/// Words that neither name nor type anything.
const QUALIFIERS: &[&str] = &[
    "static",
    "extern",
    "inline",
    "__inline",
    "__inline__",
    "__always_inline",
    "asmlinkage",
    "const",
    "volatile",
    "noinline",
    "notrace",
    "nokprobe_inline",
];

/// Words of the language.
pub(super) const KEYWORDS: &[&str] = &[
    "int", "long", "short", "char", "unsigned", "signed", "void", "bool", "_Bool", "float", "double", "struct",
    "union", "enum", "typedef", "if", "else", "while", "do", "for", "switch", "case", "default", "break", "continue",
    "goto", "return", "sizeof", "auto", "register", "asm", "__asm__", "__asm",
];

/// Macros with arguments that declare members of a type, and no type with a name.
const MEMBERS: &[&str] = &[
    "DECLARE_BITMAP",
    "DECLARE_FLEX_ARRAY",
    "DECLARE_HASHTABLE",
    "DECLARE_KFIFO",
    "DECLARE_KFIFO_PTR",
    "static_assert",
    "struct_group",
    "struct_group_attr",
];

fn among(list: &[&str], token: &[u8]) -> bool {
    list.iter().any(|w| w.as_bytes() == token)
}

/// Whether `token` with arguments says something about what is declared.
pub fn is_attribute(token: &[u8]) -> bool {
    among(ATTRIBUTES, token)
}

/// Whether `token` is a name or a keyword.
pub fn is_name(token: &[u8]) -> bool {
    token.first().is_some_and(|b| is_word(*b) && !b.is_ascii_digit())
}

fn is_type(token: &[u8]) -> bool {
    matches!(token, b"struct" | b"union" | b"enum")
}

/// What `item` is, which ends in `;`, in the brace of a function's body or in a bracket of arguments.
pub fn classify(item: &[Vec<u8>]) -> Kind {
    let tokens: Vec<&[u8]> = item.iter().map(Vec::as_slice).collect();
    known(&tokens).unwrap_or(Kind::Other)
}

fn known(item: &[&[u8]]) -> Option<Kind> {
    let head: Vec<&[u8]> = outer(item).into_iter().map(|(_, t)| t).collect();
    if item == [b";"] {
        return Some(Kind::Nothing);
    }
    if !begins_plainly(item) {
        return None;
    }
    if item.iter().any(|t| t.starts_with(b"# include")) {
        return None;
    }
    // A condition that is about a part of a declaration.
    if head.iter().any(|t| t.first() == Some(&b'#')) {
        return None;
    }
    if item.first() == Some(&&b"typedef"[..]) {
        return Some(Kind::Type([types(item)?, typedefs(item)].concat()));
    }
    if item.first().is_some_and(|t| is_type(t)) {
        if item.len() == 3 && is_name(item[1]) && item[2] == b";" {
            return Some(Kind::Nothing);
        }
        if head.contains(&&b"}"[..]) {
            let after = item.iter().rposition(|t| *t == b"}")? + 1;
            return (only_attributes(&item[after..])? == b";").then(|| types(item).map(Kind::Type))?;
        }
    }
    if let Some((name, rest)) = function(item) {
        let end = only_attributes(rest)?;
        let inline = head.contains(&&b"static"[..])
            && ["inline", "__inline", "__inline__", "__always_inline"].iter().any(|i| head.contains(&i.as_bytes()));
        return match end {
            b"{" if inline => Some(Kind::Inline(name.into())),
            b";" => Some(Kind::Prototype(name.into())),
            _ => None,
        };
    }
    variable(item, &head)
}

/// Whether all words before what is declared may say something about it. Of a word that is not known beside a type, and is
/// not named as attributes are, that cannot be said: it may be a macro that declares something itself.
fn begins_plainly(item: &[&[u8]]) -> bool {
    // For each word: whether it is a type's keyword.
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(word) = item.get(at).filter(|t| is_name(t) || **t == b"*") {
        let next = item.get(at + 1);
        at += 1;
        if next == Some(&&b"("[..]) && is_attribute(word) {
            let Some(end) = behind(item, at) else { return false };
            at = end;
        } else if is_type(word) {
            words.push(true);
            // Its tag is no word of its own.
            at += usize::from(next.is_some_and(|t| is_name(t) && !is_attribute(t) && !among(PLAIN, t)));
        } else if among(KEYWORDS, word) {
            words.extend((*word != b"typedef").then_some(true));
        } else if is_name(word) && !among(QUALIFIERS, word) && !among(PLAIN, word) && !word.starts_with(b"__") {
            words.push(false);
        }
    }
    // The name that is declared is the last.
    words.pop_if(|is_type| !*is_type);
    words.iter().all(|is_type| *is_type) || words == [false]
}

/// The tokens outside of all brackets (with the outermost ones), and where they are.
pub fn outer<'t>(item: &[&'t [u8]]) -> Vec<(usize, &'t [u8])> {
    let (mut out, mut depth) = (Vec::new(), 0usize);
    for (at, t) in item.iter().enumerate() {
        let close = matches!(*t, b")" | b"]" | b"}");
        depth = depth.saturating_sub(usize::from(close));
        if depth == 0 {
            out.push((at, *t));
        }
        depth += usize::from(matches!(*t, b"(" | b"[" | b"{"));
    }
    out
}

/// The first token that is no attribute; None where an unknown word comes before.
fn only_attributes<'t>(rest: &[&'t [u8]]) -> Option<&'t [u8]> {
    let mut at = 0;
    loop {
        let token = *rest.get(at)?;
        if !is_name(token) {
            return Some(token);
        }
        at = match rest.get(at + 1) {
            Some(&b"(") if is_attribute(token) => behind(rest, at + 1)?,
            _ if among(PLAIN, token) => at + 1,
            _ => return None,
        };
    }
}

/// The name of a function that is declared or defined, and what follows its parameters.
fn function<'i, 't>(item: &'i [&'t [u8]]) -> Option<(&'t [u8], &'i [&'t [u8]])> {
    let (mut at, mut typed) = (0, false);
    loop {
        let token = *item.get(at)?;
        if token == b"*" {
            at += 1;
        } else if !is_name(token) {
            return None;
        } else if item.get(at + 1) != Some(&&b"("[..]) {
            typed |= !among(QUALIFIERS, token) && !among(PLAIN, token);
            at += 1;
        } else if is_attribute(token) {
            at = behind(item, at + 1)?;
        } else if matches!(token, b"typeof" | b"__typeof__" | b"__typeof") {
            (typed, at) = (true, behind(item, at + 1)?);
        } else {
            let plain = typed && !among(KEYWORDS, token) && !among(QUALIFIERS, token) && !among(PLAIN, token);
            return plain.then_some((token, &item[behind(item, at + 1)?..]));
        }
    }
}

/// `extern TYPE NAME;`, `extern TYPE NAME[N] ATTRIBUTES;`.
fn variable(item: &[&[u8]], head: &[&[u8]]) -> Option<Kind> {
    if item.first() != Some(&&b"extern"[..]) || head.iter().any(|t| matches!(*t, b"{" | b"=" | b"," | b"(")) {
        return None;
    }
    let mut names = head.iter().rev().filter(|t| is_name(t) && !among(PLAIN, t));
    let name = *names.next()?;
    // A word that is not known there may be an attribute.
    let sure = !name.starts_with(b"__") && !among(KEYWORDS, name) && !among(QUALIFIERS, name);
    (sure && names.any(|t| *t != b"extern")).then(|| Kind::Variable(name.into()))
}

/// The tags and enumerators that a type brings with it; None where they are not plain to see.
fn types(item: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for (at, token) in item.iter().enumerate().filter(|(_, t)| is_type(t)) {
        let mut next = at + 1;
        let mut tag = None;
        while let Some(word) = item.get(next).filter(|t| is_name(t)) {
            if is_attribute(word) {
                next = behind(item, next + 1)?;
                continue;
            }
            tag = Some(*word).filter(|w| !among(PLAIN, w)).or(tag);
            next += 1;
        }
        if item.get(next) != Some(&&b"{"[..]) {
            continue;
        }
        names.extend(tag.map(<[u8]>::to_vec));
        if *token == b"enum" {
            names.extend(enumerators(&item[next + 1..behind(item, next)? - 1])?);
        }
    }
    names.extend(tags_of_macros(item));
    Some(names)
}

/// The first arguments of macros that are where a member would: `struct_group_tagged(TAG, NAME, MEMBERS)` makes a type.
fn tags_of_macros<'i>(item: &'i [&[u8]]) -> impl Iterator<Item = Vec<u8>> + 'i {
    item.windows(4).filter_map(|four| {
        let [before, name, open, tag] = four else { return None };
        let begins = matches!(*before, b"{" | b"}" | b";" | b"(" | b",") || before.first() == Some(&b'#');
        let fits = begins && is_name(name) && *open == b"(" && is_name(tag);
        let other = is_attribute(name) || among(MEMBERS, name) || among(KEYWORDS, tag) || among(QUALIFIERS, tag);
        (fits && !other).then(|| tag.to_vec())
    })
}

/// The names in the braces of an enum.
fn enumerators(body: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let mut fresh = true;
    for (at, token) in outer(body) {
        match token {
            b"," => fresh = true,
            // A condition's line.
            t if t.first() == Some(&b'#') => {}
            t if fresh => {
                // A macro may bring names of its own.
                let ends = |next: &&[u8]| matches!(*next, b"," | b"=") || next.first() == Some(&b'#');
                if !is_name(t) || !body.get(at + 1).is_none_or(ends) {
                    return None;
                }
                names.push(t.to_vec());
                fresh = false;
            }
            _ => {}
        }
    }
    Some(names)
}

/// The names that a typedef gives, with some that it does not.
fn typedefs(item: &[&[u8]]) -> Vec<Vec<u8>> {
    let outer = outer(item);
    let body = outer.iter().rposition(|(_, t)| *t == b"}").map_or(0, |p| p + 1);
    let tail = &outer[body..];
    let mut names = Vec::new();
    let known = |t: &[u8]| among(KEYWORDS, t) || among(QUALIFIERS, t) || among(PLAIN, t) || is_attribute(t);
    let plain = |t: &[u8]| is_name(t) && !known(t);
    let first = tail.iter().find(|(at, t)| *t == b"(" && *at > 0 && !is_attribute(item[*at - 1]));
    if let Some((at, _)) = first {
        names.extend([item[at - 1]].into_iter().filter(|t| plain(t)));
        let end = behind(item, *at).unwrap_or(item.len());
        names.extend(item[*at..end].iter().filter(|t| plain(t)));
    }
    let several = body > 0 || tail.iter().any(|(_, t)| *t == b",");
    let words = tail.iter().map(|(_, t)| *t).filter(|t| plain(t) && *t != b"typedef").rev();
    names.extend(words.take(if several { usize::MAX } else { 1 }));
    names.into_iter().map(<[u8]>::to_vec).collect()
}
