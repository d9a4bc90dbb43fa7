// SPDX-License-Identifier: GPL-2.0-or-later
//! Which names of other headers use some names: these names in; out, all names through which they can be used, and the
//! headers for which this is unknown.
//!
//! An inline function that calls a changed one changes nothing for a unit that does not use it, and so does a macro: what a
//! unit has to have in it is the name of that function or macro, or the name of something else that uses it, and so on. Each round
//! looks for the names that the last one found. Where a header does with such a name what has no name of its own, all that
//! include it count, as they do where it may turn one of these names into another (`#define f other`).

use super::chunks::chunks;
use super::kinds::Kind;
use super::names::gives;
use super::words::Finder;
use crate::reach::includes::each_text;
use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;

/// With more names than that, or after so many rounds, all that include a header with one of the names count.
const NAMES: usize = 400;
const ROUNDS: usize = 16;

/// By what some names can be reached.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// The names themselves and those that lead to them.
    pub names: BTreeSet<Vec<u8>>,
    /// The numbers of the headers that all may see who include them.
    pub open: BTreeSet<usize>,
}

/// What a header gives that has one of the names in it.
struct Given {
    names: BTreeSet<Vec<u8>>,
    /// Names that it makes macros of, which are to be something else.
    macros: BTreeSet<Vec<u8>>,
    open: bool,
}

/// Follows `names`, which the header at `own` has, through the headers of a tree; None where they lead too far.
///
/// # Errors
/// A file of the tree cannot be read.
pub fn users(tree: &Path, files: &[String], own: &str, names: &BTreeSet<Vec<u8>>) -> Result<Option<Users>> {
    let numbers: Vec<usize> = (0..files.len()).filter(|n| files[*n].ends_with(".h")).collect();
    let headers: Vec<String> = numbers.iter().map(|n| files[*n].clone()).collect();
    let mut users = Users { names: names.clone(), open: BTreeSet::new() };
    // Names of functions, variables and types; and the macros of each header.
    let mut plain = names.clone();
    let mut macros: Vec<(usize, BTreeSet<Vec<u8>>)> = Vec::new();
    let mut next = names.clone();
    for _ in 0..ROUNDS {
        let finder = Finder::new(next.iter())?;
        let mut new = BTreeSet::new();
        for (n, given) in numbers.iter().zip(each_text(tree, &headers, |text| given(text, &finder))?) {
            let Some(given) = given else { continue };
            if given.open {
                users.open.insert(*n);
            }
            new.extend(given.names.iter().chain(&given.macros).filter(|n| !users.names.contains(*n)).cloned());
            plain.extend(given.names);
            if files[*n] != own {
                macros.push((*n, given.macros));
            }
        }
        if new.is_empty() {
            let hides = |made: &BTreeSet<Vec<u8>>| !made.is_disjoint(&plain);
            users.open.extend(macros.iter().filter(|(_, made)| hides(made)).map(|(n, _)| *n));
            return Ok(Some(users));
        }
        users.names.extend(new.iter().cloned());
        if users.names.len() > NAMES {
            return Ok(None);
        }
        next = new;
    }
    Ok(None)
}

/// What the header `text` gives by way of the names that `finder` looks for; None where it has none of them.
fn given(text: &[u8], finder: &Finder) -> Option<Given> {
    let has = |text: &[u8]| finder.find(text).next().is_some();
    if !has(text) {
        return None;
    }
    let mut given = Given { names: BTreeSet::new(), macros: BTreeSet::new(), open: false };
    let Some(all) = chunks(text) else {
        given.open = true;
        return Some(given);
    };
    for chunk in all.iter().filter(|c| has(&c.context) || c.tokens.iter().any(|t| has(t))) {
        match (gives(chunk), &chunk.kind) {
            (None, _) => given.open = true,
            // `#define f f`
            (Some(_), Kind::Define(name)) if chunk.tokens.len() == 4 && chunk.tokens[3] == *name => {}
            (Some(names), Kind::Define(_)) => given.macros.extend(names),
            (Some(names), _) => given.names.extend(names),
        }
    }
    Some(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    /// The names by which `f` of own.h can be reached beside itself, and the open headers.
    fn found(headers: &[(&str, &str)]) -> Option<(String, Vec<String>)> {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = vec!["own.h".to_string()];
        files::write(&dir.path().join("own.h"), b"static inline int f(void)\n{\n\treturn 1;\n}\n").unwrap();
        for (path, text) in headers {
            files::write(&dir.path().join(path), text.as_bytes()).unwrap();
            paths.push(path.to_string());
        }
        paths.sort();
        let users = users(dir.path(), &paths, "own.h", &BTreeSet::from([b"f".to_vec()])).unwrap()?;
        let names: Vec<_> = users.names.iter().map(|n| String::from_utf8_lossy(n)).filter(|n| n != "f").collect();
        Some((names.join(" "), users.open.iter().map(|n| paths[*n].clone()).collect()))
    }

    fn named(names: &str) -> Option<(String, Vec<String>)> {
        Some((names.into(), Vec::new()))
    }

    fn open(names: &str, header: &str) -> Option<(String, Vec<String>)> {
        Some((names.into(), vec![header.into()]))
    }

    #[test]
    fn functions_and_macros_that_use_it() {
        let g = ("g.h", "static inline int g(void)\n{\n\treturn f();\n}\nint other(void);\n");
        assert_eq!(found(&[g]), named("g"));
        assert_eq!(
            found(&[g, ("m.h", "#define M(x) (x + g())\n"), ("c.c", "int h(void) { return M(1); }\n")]),
            named("M g")
        );
        assert_eq!(
            found(&[("m.h", "#ifdef f\nint a(void);\n#else\nint b(void);\n#endif\n/* f */ int c;\n")]),
            named("a b")
        );
        assert_eq!(found(&[("m.h", "#define ff 1\n#define x \"f_\"\n")]), named(""));
        assert_eq!(found(&[("m.h", "#define f f\n")]), named(""));
    }

    #[test]
    fn what_has_no_name_is_seen_by_all() {
        for text in [
            "MAKE(f);\n",
            "#undef f\n",
            "#ifdef f\n#include <x.h>\n#endif\n",
            "static int x = f;\n",
            "#if f\n{\n#endif\n",
        ] {
            assert_eq!(found(&[("m.h", text)]), open("", "m.h"), "{text}");
        }
        // It may have another name where it is used.
        assert_eq!(found(&[("m.h", "#define f other\n")]), open("", "m.h"));
        let g = ("g.h", "static inline int g(void)\n{\n\treturn f();\n}\n");
        assert_eq!(found(&[g, ("a.h", "#define g other\n")]), open("g", "a.h"));
        // Whichever is found first.
        let both = ("g.h", "static inline int g(void)\n{\n\treturn M();\n}\n");
        assert_eq!(found(&[both, ("a.h", "#define M() f()\n#define g M\n")]), open("M g", "a.h"));
    }

    #[test]
    fn what_leads_too_far_is_given_up() {
        let many: String = (0..=NAMES).map(|n| format!("#define M{n} f\n")).collect();
        assert_eq!(found(&[("m.h", &many)]), None);
        let deep: String = (1..=ROUNDS).map(|n| format!("#define M{n} M{}\n", n - 1)).collect();
        assert_eq!(found(&[("m.h", &format!("#define M0 f\n{deep}"))]), None);
    }
}
