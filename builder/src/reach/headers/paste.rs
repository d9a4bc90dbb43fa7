// SPDX-License-Identifier: GPL-2.0-or-later
//! Names that macros may put together (`##`) and that are nowhere as a whole: names in, the files in which that may happen
//! out.
//!
//! Every `##` of the tree is looked at, with what is on either side: a chain of words, some of which are a macro's own and some
//! its arguments. A unit may have a name in it when it has the macro and all of these arguments in it, be it in one of its
//! headers. An argument is a word that is in a text where an argument or the value of a macro may begin or end: no `*x`,
//! `x->` or `int x;`. Or it is put together itself, of words of three characters and more, and numbers. A word of a makefile,
//! and what kbuild makes of one (`KBUILD_MODNAME`), may be in all files below it. Not seen is a name that chains without telling words
//! of their own (`a##b`, `a##_##b`) put together of what such have put together. In Linux 6.1 all that do so have a word of
//! their own, or a number, in it (`__UNIQUE_ID`).

use super::kinds::KEYWORDS;
use super::text::lines;
use super::words::Finder;
use crate::c::tokens::{is_word, tokens};
use crate::reach::includes::{each_text, Includers, Marks};
use anyhow::Result;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

/// Words of fewer letters and digits say little: what is put together of such words is not looked for within what is put
/// together.
const TELLING: usize = 3;

/// What is in a chain of `##`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leaf {
    /// A word of the macro's own.
    Own(Vec<u8>),
    /// One of its parameters.
    Given,
}

/// A word in so many files is taken to be in all units.
const COMMON: usize = 2000;

/// Where a name may be put together.
#[derive(Clone, Debug)]
pub struct Made {
    /// The numbers of the files with macros that may do it.
    pub macros: BTreeSet<usize>,
    /// The files in which it may happen.
    pub files: Marks,
}

/// A word that may be an argument, and whether it may be one that others are pasted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Word<'n> {
    word: &'n [u8],
    /// Something is pasted before it.
    begins: bool,
    /// Something is pasted behind it.
    ends: bool,
}

/// The names that some macro of the tree may put together.
///
/// # Errors
/// A file of the tree cannot be read.
pub fn possible<'n>(
    tree: &Path,
    includers: &Includers<'_>,
    makefiles: &[String],
    names: &BTreeSet<&'n [u8]>,
) -> Result<BTreeMap<&'n [u8], Made>> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let files = includers.files();
    // Every part that a name could be put together of.
    let from = |name: &'n [u8], at: usize| (at + 1..=name.len()).map(move |end| &name[at..end]);
    let parts: BTreeSet<&[u8]> =
        names.iter().flat_map(|n| (0..n.len()).flat_map(|at| from(n, at)).filter(|p| p.len() < n.len())).collect();
    let parts: Vec<&[u8]> = parts.into_iter().collect();
    let finder = Finder::new(parts.iter())?;
    let look = |text: &[u8]| {
        let words: BTreeSet<(usize, bool, bool)> = finder
            .find(text)
            .map(|(n, at)| (n, may_begin(&text[..at], parts[n]), may_end(text, at + parts[n].len(), parts[n])))
            .collect();
        (chains(text), words)
    };
    let mut words: HashMap<Word<'_>, Vec<usize>> = HashMap::new();
    let mut all: BTreeMap<Vec<Leaf>, BTreeSet<usize>> = BTreeMap::new();
    for (file, (chains, found)) in each_text(tree, files, look)?.into_iter().enumerate() {
        for (n, may_begin, may_end) in found {
            for (begins, ends) in [(true, true), (true, false), (false, true)] {
                if (may_begin || !begins) && (may_end || !ends) {
                    let with = words.entry(Word { word: parts[n], begins, ends }).or_default();
                    if with.last() != Some(&file) {
                        with.push(file);
                    }
                }
            }
        }
        chains.into_iter().for_each(|chain| _ = all.entry(chain).or_default().insert(file));
    }
    let given = given_by_makefiles(tree, files, makefiles, &finder)?;
    let given: HashMap<&[u8], Marks> = given.into_iter().map(|(n, files)| (parts[n], files)).collect();
    let chains: Vec<(Vec<Leaf>, BTreeSet<usize>)> = all.into_iter().collect();
    let with: Vec<OnceCell<Marks>> = chains.iter().map(|_| OnceCell::new()).collect();
    let mut places = Places {
        includers,
        names,
        words: &words,
        given: &given,
        chains: &chains,
        with: &with,
        ways: HashMap::new(),
        known: HashMap::new(),
    };
    let mut made: BTreeMap<&[u8], Made> = BTreeMap::new();
    for name in names {
        for (n, (chain, macros)) in chains.iter().enumerate() {
            let parts = if is_telling(chain) { Parts::OfAll } else { Parts::OfTelling };
            for way in places.ways(n, name, parts) {
                let within = places.within(n, &way, parts);
                if within.is_empty() {
                    continue;
                }
                let new = || Made { macros: BTreeSet::new(), files: Marks::of(files.len()) };
                let known = made.entry(name).or_insert_with(new);
                known.macros.extend(macros);
                known.files.add_all(&within);
            }
        }
    }
    Ok(made)
}

/// The words of which a chain makes a name.
type Way<'n> = Vec<Word<'n>>;

/// Chains, by their numbers, that make a name, each with the words of which it does.
type Ways<'n> = Rc<[(usize, Way<'n>)]>;

/// Where words are.
struct Places<'p, 'i, 'n> {
    includers: &'p Includers<'i>,
    names: &'p BTreeSet<&'n [u8]>,
    words: &'p HashMap<Word<'n>, Vec<usize>>,
    /// The files below makefiles that have a word in them.
    given: &'p HashMap<&'n [u8], Marks>,
    chains: &'p [(Vec<Leaf>, BTreeSet<usize>)],
    /// The files that have each chain in them, be it in a header.
    with: &'p [OnceCell<Marks>],
    /// The chains that make a word of words that are there, each with these.
    ways: HashMap<&'n [u8], Ways<'n>>,
    /// The files that have a word in them, be it put together, or in a header.
    known: HashMap<(Word<'n>, Parts), Marks>,
}

/// Which chains the words may be put together by of which a name is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Parts {
    /// By any.
    OfAll,
    /// By those with telling words of their own.
    OfTelling,
    /// By none: it is a part itself.
    None,
}

impl<'n> Places<'_, '_, 'n> {
    /// The ways in which a chain makes `name` of words that are anywhere.
    fn ways(&mut self, chain: usize, name: &'n [u8], parts: Parts) -> Vec<Way<'n>> {
        let leaves = &self.chains[chain].0;
        if !makes(leaves, name) {
            return Vec::new();
        }
        let mut ways = BTreeSet::new();
        put_together(leaves, name, &mut Vec::new(), &mut ways);
        let little = |w: &Word<'_>| w.word.len() < TELLING && !w.word.iter().all(u8::is_ascii_digit);
        // Where the name itself is a word of a unit, or another name that leads to it, that is known without this.
        let known = |w: &Word<'_>| self.names.contains(w.word) || w.word == name;
        let ways: Vec<Way<'n>> =
            ways.into_iter().filter(|way| !way.iter().any(|w| known(w) || parts == Parts::None && little(w))).collect();
        ways.into_iter().filter(|way| way.iter().all(|w| self.is_anywhere(*w, parts))).collect()
    }

    fn is_anywhere(&mut self, word: Word<'n>, parts: Parts) -> bool {
        let spelled = self.given.contains_key(word.word) || self.words.contains_key(&word);
        spelled || !self.ways_of_part(word.word, parts).is_empty()
    }

    /// The chains that make a part of a name, each with the words of which it does.
    fn ways_of_part(&mut self, part: &'n [u8], parts: Parts) -> Vec<(usize, Way<'n>)> {
        if parts == Parts::None || part.len() <= TELLING {
            return Vec::new();
        }
        let ways = self.all_ways_of(part);
        let may = |chain: usize| parts == Parts::OfAll || is_telling(&self.chains[chain].0);
        ways.iter().filter(|(chain, _)| may(*chain)).cloned().collect()
    }

    fn all_ways_of(&mut self, part: &'n [u8]) -> Ways<'n> {
        if let Some(known) = self.ways.get(part) {
            return known.clone();
        }
        let chains = 0..self.chains.len();
        let ways: Rc<[_]> =
            chains.flat_map(|n| self.ways(n, part, Parts::None).into_iter().map(move |way| (n, way))).collect();
        self.ways.insert(part, ways.clone());
        ways
    }

    /// The files in which a chain and all of `words` are.
    fn within(&mut self, chain: usize, words: &[Word<'n>], parts: Parts) -> Marks {
        let (includers, macros) = (self.includers, &self.chains[chain].1);
        let with = || includers.closure_of_numbers(macros.iter().copied());
        let mut left = self.with[chain].get_or_init(with).clone();
        for word in words {
            if left.is_empty() {
                break;
            }
            self.keep(&mut left, *word, parts);
        }
        left
    }

    /// Leaves those of `files` that have a word in them, be it put together.
    fn keep(&mut self, files: &mut Marks, word: Word<'n>, parts: Parts) {
        let spelled = self.words.get(&word);
        if spelled.is_some_and(|files| files.len() >= COMMON) {
            return;
        }
        if !self.known.contains_key(&(word, parts)) {
            let mut with = match spelled {
                Some(files) => self.includers.closure_of_numbers(files.iter().copied()),
                None => Marks::of(self.includers.files().len()),
            };
            if let Some(files) = self.given.get(word.word) {
                with.add_all(files);
            }
            for (chain, way) in self.ways_of_part(word.word, parts) {
                with.add_all(&self.within(chain, &way, Parts::None));
            }
            self.known.insert((word, parts), with);
        }
        files.keep(&self.known[&(word, parts)]);
    }
}

/// The files that may have words in them by a makefile, by the number of the word: flags (`-DNAME=WORD`), and the names of objects
/// and modules, in which `-` becomes `_`. A makefile has to do with the files below it.
fn given_by_makefiles(
    tree: &Path,
    files: &[String],
    makefiles: &[String],
    finder: &Finder,
) -> Result<BTreeMap<usize, Marks>> {
    let found = each_text(tree, makefiles, |text| {
        let named: Vec<u8> = text.iter().map(|b| if *b == b'-' { b'_' } else { *b }).collect();
        finder.find(text).chain(finder.find(&named)).map(|(n, _)| n).collect::<BTreeSet<_>>()
    })?;
    let mut given: BTreeMap<usize, Marks> = BTreeMap::new();
    for (makefile, words) in makefiles.iter().zip(found) {
        let folder = makefile.rsplit_once('/').map_or("", |(folder, _)| folder);
        // kbuild's own, and that of the architecture, are for all.
        let all =
            folder.is_empty() || folder == "scripts" || folder.starts_with("arch/") && folder.matches('/').count() == 1;
        let below = |file: &str| all || file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let below: Vec<usize> =
            if words.is_empty() { Vec::new() } else { (0..files.len()).filter(|n| below(&files[*n])).collect() };
        for word in words {
            let marks = given.entry(word).or_insert_with(|| Marks::of(files.len()));
            below.iter().for_each(|n| _ = marks.add(*n));
        }
    }
    Ok(given)
}

/// Whether a chain's own words say what it makes.
fn is_telling(chain: &[Leaf]) -> bool {
    let letters = |word: &Vec<u8>| word.iter().filter(|b| b.is_ascii_alphanumeric()).count();
    chain.iter().map(|l| if let Leaf::Own(word) = l { letters(word) } else { 0 }).sum::<usize>() >= TELLING
}

/// Whether `word`, which comes behind `before`, may be the first word of an argument or of a macro's value. A word before it
/// may be a macro that leaves nothing. One behind `##` is part of a chain.
fn may_begin(before: &[u8], word: &[u8]) -> bool {
    let mut rest = before;
    let (mut words, mut lines) = (false, false);
    loop {
        let blanks = rest.trim_ascii_end();
        let between = &rest[blanks.len()..];
        rest = blanks.strip_suffix(b"\\").unwrap_or(blanks);
        let continued = rest.len() < blanks.len();
        lines |= !continued && between.contains(&b'\n');
        if continued {
            continue;
        }
        match rest.last() {
            None | Some(b'(' | b',' | b'/' | b'"') => return true,
            Some(b'#') => return if words { !lines } else { word.len() < TELLING },
            Some(b')') => return is_directive(before),
            Some(b) if is_word(*b) => {
                words = true;
                let begin = rest.iter().rposition(|b| !is_word(*b)).map_or(0, |at| at + 1);
                if is_type_or_keyword(&rest[begin..]) {
                    return false;
                }
                rest = &rest[..begin];
            }
            Some(_) => return false,
        }
    }
}

/// Whether `word`, behind which `text` goes on at `end`, may be the last word of an argument or of a macro's value.
fn may_end(text: &[u8], end: usize, word: &[u8]) -> bool {
    let mut rest = &text[end..];
    loop {
        let after = rest.trim_ascii_start();
        let lines = rest[..rest.len() - after.len()].contains(&b'\n');
        rest = after;
        match rest.first() {
            None | Some(b',' | b')' | b'/') => return true,
            Some(b'\\') => rest = &rest[1..],
            _ if lines => return is_directive(&text[..end]),
            Some(b'#') => return word.len() < TELLING,
            Some(b) if is_word(*b) => rest = &rest[rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len())..],
            Some(_) => return false,
        }
    }
}

/// Whether a word is no macro that leaves nothing, but one that the language or the kernel has for types.
fn is_type_or_keyword(word: &[u8]) -> bool {
    let word = std::str::from_utf8(word).unwrap_or_default();
    let sized = |word: &str| {
        let size = ["u", "s", "be", "le"].iter().find_map(|sign| word.strip_prefix(sign));
        size.is_some_and(|size| ["8", "16", "32", "64"].contains(&size))
    };
    KEYWORDS.contains(&word)
        || ["const", "volatile", "static", "extern", "inline", "size_t"].contains(&word)
        || sized(word.strip_prefix("__").unwrap_or(word))
}

/// Whether what comes behind `before` is part of a directive.
fn is_directive(before: &[u8]) -> bool {
    let mut begin = before.len();
    while let Some(at) = before[..begin].iter().rposition(|b| *b == b'\n') {
        if !before[..at].trim_ascii_end().ends_with(b"\\") || before[..at].ends_with(b"\n") {
            return before[at..].trim_ascii_start().starts_with(b"#");
        }
        begin = at;
    }
    before.trim_ascii_start().starts_with(b"#")
}

/// The chains of a text, in all its macros.
pub(super) fn chains(text: &[u8]) -> Vec<Vec<Leaf>> {
    if memchr::memmem::find(text, b"##").is_none() {
        return Vec::new();
    }
    let is_define = |line: &[u8]| line.strip_prefix(b"#").is_some_and(|l| l.trim_ascii_start().starts_with(b"define"));
    let lines =
        lines(text).into_iter().filter(|l| is_define(&l.text) && memchr::memmem::find(&l.text, b"##").is_some());
    lines.flat_map(|line| chains_of(&line.text)).collect()
}

fn chains_of(define: &[u8]) -> Vec<Vec<Leaf>> {
    let line = define[1..].trim_ascii_start();
    let line = line.strip_prefix(b"define").unwrap_or(line).trim_ascii_start();
    let name = line.iter().position(|b| !is_word(*b)).unwrap_or(line.len());
    let (mut given, mut body): (Vec<&[u8]>, &[u8]) = (Vec::new(), &line[name..]);
    if let Some((list, rest)) =
        body.strip_prefix(b"(").and_then(|b| Some(b.split_at(b.iter().position(|b| *b == b')')?)))
    {
        given = list.split(|b| *b == b',').map(|p| p.trim_ascii().trim_ascii_end()).collect();
        // `args...`
        given.iter_mut().for_each(|p| *p = p.strip_suffix(b"...").unwrap_or(p).trim_ascii());
        body = rest;
    }
    let leaf = |token: &[u8]| match given.contains(&token) || token == b"__VA_ARGS__" {
        true => Leaf::Given,
        false => Leaf::Own(token.to_vec()),
    };
    // A `#` at the beginning would be taken for a directive.
    let body = [b"_ ", body].concat();
    let tokens = &tokens(&body)[1..];
    let mut out: Vec<Vec<Leaf>> = Vec::new();
    let mut open = false;
    for (at, token) in tokens.iter().enumerate() {
        if *token != b"##" {
            open &= at > 0 && tokens[at - 1] == b"##";
            continue;
        }
        let (Some(before), Some(after)) = (at.checked_sub(1).map(|b| tokens[b]), tokens.get(at + 1)) else { continue };
        match out.last_mut().filter(|_| open) {
            Some(chain) => chain.push(leaf(after)),
            None => out.push(vec![leaf(before), leaf(after)]),
        }
        open = true;
    }
    out
}

/// Adds to `ways` of which words a chain makes `name`; `used` are those before it, None for a macro's own.
fn put_together<'n>(chain: &[Leaf], name: &'n [u8], used: &mut Vec<Option<&'n [u8]>>, ways: &mut BTreeSet<Way<'n>>) {
    match chain.split_first() {
        None if name.is_empty() => {
            let last = used.len() - 1;
            let word =
                |(n, word): (usize, &Option<&'n [u8]>)| Some(Word { word: (*word)?, begins: n > 0, ends: n < last });
            ways.insert(used.iter().enumerate().filter_map(word).collect());
        }
        None => {}
        Some((Leaf::Own(word), rest)) if name.starts_with(word) => {
            used.push(None);
            put_together(rest, &name[word.len()..], used, ways);
            used.pop();
        }
        Some((Leaf::Own(_), _)) => {}
        Some((Leaf::Given, rest)) => {
            // An argument may be nothing.
            put_together(rest, name, used, ways);
            for (word, left) in (1..=name.len()).map(|at| name.split_at(at)) {
                used.push(Some(word));
                put_together(rest, left, used, ways);
                used.pop();
            }
        }
    }
}

/// Whether a chain can make `name` of any words.
fn makes(chain: &[Leaf], name: &[u8]) -> bool {
    match chain.split_first() {
        None => name.is_empty(),
        Some((Leaf::Own(word), rest)) => name.strip_prefix(word.as_slice()).is_some_and(|n| makes(rest, n)),
        Some((Leaf::Given, rest)) if rest.first() == Some(&Leaf::Given) => makes(rest, name),
        Some((Leaf::Given, [])) => true,
        Some((Leaf::Given, rest)) => (0..=name.len()).any(|at| makes(rest, &name[at..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use crate::reach::includes::{search, walk};

    fn of(macros: &str, text: &str, name: &str) -> bool {
        made(macros, text, name).is_some()
    }

    fn made(macros: &str, text: &str, name: &str) -> Option<BTreeSet<usize>> {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| files::write(&dir.path().join(path), text.as_bytes()).unwrap();
        put("a.h", macros);
        put("b.c", &format!("#include \"a.h\"\n{text}"));
        found(dir.path(), name).map(|made| made.macros)
    }

    fn found(tree: &Path, name: &str) -> Option<Made> {
        let (sources, makefiles) = walk(tree, "x86_64").unwrap();
        let makefiles: Vec<String> = makefiles.into_iter().filter(|m| tree.join(m).is_file()).collect();
        let index = search(tree, "x86_64", &sources, &makefiles, "").unwrap();
        possible(tree, &index.includers(), &makefiles, &BTreeSet::from([name.as_bytes()])).unwrap().into_values().next()
    }

    #[test]
    fn words_have_to_meet_in_a_unit() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| files::write(&dir.path().join(path), text.as_bytes()).unwrap();
        put("paste.h", "#define PASTE(a, b) a##b\n");
        put("skb.h", "#include \"paste.h\"\nint use(int skb);\n");
        put("gso.h", "#define USE(x) PASTE(x, _is_gso)\n");
        put("a.c", "#include \"skb.h\"\nint a;\n");
        put("b.c", "#include \"skb.h\"\n#include \"gso.h\"\nint b;\n");
        put("c.c", "#include \"gso.h\"\nint c;\n");
        put("d.c", "#include \"skb.h\"\nPASTE(skb, _is_gso)\n");
        put("e.c", "PASTE(skb, _is_gso)\n");
        let files = |made: Option<Made>| {
            let names = ["a.c", "b.c", "c.c", "d.c", "e.c", "gso.h", "paste.h", "skb.h"];
            made.map(|m| m.files.numbers().map(|n| names[n]).collect::<Vec<_>>())
        };
        assert_eq!(files(found(dir.path(), "skb_is_gso")), Some(vec!["b.c", "d.c"]));
        assert_eq!(files(found(dir.path(), "skb_is_tso")), None);
        // kbuild names objects and modules by words of makefiles.
        put("Makefile", "obj-y += x-is-tso.o _is-tso.o\n");
        assert_eq!(files(found(dir.path(), "skb_is_tso")), Some(vec!["a.c", "b.c", "d.c", "skb.h"]));
    }

    #[test]
    fn chains_with_words_of_their_own() {
        let class = "#define CLASS(_name, var) \\\n\tclass_##_name##_t var\n";
        let used = "CLASS(mutex, x);";
        assert!(of(class, used, "class_mutex_t") && of(class, "", "class__t"));
        assert!(!of(class, used, "class_mutex_u") && !of(class, used, "mutex") && !of(class, "", "class_mutex_t"));
        assert_eq!(made(class, used, "class_mutex_t"), Some(BTreeSet::from([0])));
        assert!(of("#define ATTR(args...) attr_ ## args\n", "ATTR(x)", "attr_x"));
        assert!(of("#define ATTR(a, b) b##_attr, a##_##b##_show x\n", "ATTR(some, thing)", "some_thing_show"));
        assert!(of("#define ATTR(a) #a, attr_##a\n", "ATTR(x)", "attr_x"));
        assert!(of("#define ATTR # attr_##a\n", "", "attr_a"));
    }

    #[test]
    fn words_that_are_put_together_themselves() {
        let class = "#define CLASS(name) class_##name\n#define LOCK(name) CLASS(name##_lock)\n#define IN(a, b) a##b\n";
        assert!(of(class, "LOCK(mutex)", "class_mutex_lock"));
        assert!(of(class, "CLASS(IN(mutex, _lock))", "class_mutex_lock"));
        assert!(of(class, "CLASS(IN(mutex_, 1))", "class_mutex_1"));
        // Of any letters, all units would have any name.
        assert!(!of(class, "CLASS(IN(m, utex))", "class_mutex"));
        assert!(!of(class, "LOCK(rcu); mutex x;", "class_mutex_lock"));
    }

    #[test]
    fn where_an_argument_may_be() {
        let begins = |text: &str| may_begin(text.strip_suffix("mas_lock").unwrap().as_bytes(), b"mas_lock");
        for text in
            ["", "F(", "F(x,\n\t", "F(x, EMPTY ", "#define L ", "#define L(x) ", "#define L \\\n\t", "F(/* x */ "]
        {
            assert!(begins(&format!("{text}mas_lock")), "{text}");
        }
        for text in ["x->", "x.", "*", "int x; int ", "f(); ", "return ", "{ ", "#endif\nint ", "(void) ", "#x ## "] {
            assert!(!begins(&format!("a {{ {text}mas_lock")), "{text}");
        }
        let ends = |text: &str| may_end(text.as_bytes(), text.find("mas_lock").unwrap() + 8, b"mas_lock");
        for text in [
            "mas_lock",
            "mas_lock)",
            "mas_lock , x",
            "mas_lock EMPTY)",
            "#define L mas_lock\nint x;",
            "mas_lock\n)",
            "mas_lock /* x */)",
        ] {
            assert!(ends(text), "{text}");
        }
        for text in ["mas_lock;", "mas_lock(x)", "mas_lock->x)", "mas_lock = 1", "int mas_lock\nint x;", "mas_lock##x"]
        {
            assert!(!ends(text), "{text}");
        }
    }

    #[test]
    fn chains_without() {
        let paste = "#define PASTE(a, b) a##b\n#define JOIN(a, b) a##_##b\n";
        assert_eq!(made(paste, "PASTE(mas, _lock);", "mas_lock"), Some(BTreeSet::from([0])));
        assert!(of(paste, "JOIN(mas, lock);", "mas_lock"));
        assert!(
            of(paste, "PASTE(mas, \\\n/* the */ _lock);", "mas_lock")
                && of(paste, "(mas)\n#define L _lock\n", "mas_lock")
        );
        assert!(!of(paste, "PASTE(mas, x->_lock, *_lock);", "mas_lock"));
        assert!(!of(paste, "PASTE(mas, x);", "mas_lock"));
        // As many as a chain has.
        let three = "#define THREE(a, b, c) a##_##b##_##c\n";
        assert!(
            of(three, "THREE(mas, write, lock);", "mas_write_lock")
                && of(three, "THREE(, mas_write, lock)", "_mas_write_lock")
        );
        assert!(
            !of(three, "THREE(mas, x->write, lock);", "mas_write_lock")
                && !of(paste, "(mas, write, lock)", "mas_write_lock")
        );
        assert!(of("#define OWN(a) _##a\n", "OWN(mas_lock);", "_mas_lock"));
        // A chain's own words make what the chain makes.
        assert!(!of("#define RAW(op) raw_##op##_lock\n", "mas;", "mas_lock"));
        assert!(of("#define T(name) name##_t\n", "T(mas);", "mas_t"));
        assert!(!of("", "mas lock _lock", "masc_lock"));
    }
}
