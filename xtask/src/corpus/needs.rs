// SPDX-License-Identifier: GPL-2.0-or-later
//! Which other changed files a fix does not compile without: refusals in, paths out.
//!
//! A release is not cut into its fixes: a file may use what the same fix puts into a header, or into another file.

use super::parts::Parts;
use kmend_builder::error::Refusal;
use kmend_builder::source::includes;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
    // gcc quotes names; a type is quoted with its keyword, a member with what it is reached by.
    Regex::new(r"[`'‘](?:struct |enum |union )?(?:[\w>.\[\]-]*(?:->|\.))?([A-Za-z_]\w+)['’]")
        .unwrap_or_else(|error| panic!("{error}"))
});

static ABSENT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"fatal error: (\S+): No such file").unwrap_or_else(|error| panic!("{error}")));

static MEMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"near initialization for [`'‘][^'’]*[.>](\w+)['’]").unwrap_or_else(|error| panic!("{error}"))
});

/// The names that the compiler says are missing, or are otherwise than the code expects.
fn missing(refusals: &[Refusal]) -> BTreeSet<String> {
    broken(refusals).flat_map(|refusal| refusal.reason.lines().flat_map(named)).collect()
}

/// The refusals of what does not compile.
fn broken(refusals: &[Refusal]) -> impl Iterator<Item = &Refusal> {
    refusals.iter().filter(|r| r.code == "does-not-compile")
}

/// The names in a line of the compiler's. What cleanup.h makes of the name of a guard stands for that.
fn named(line: &str) -> Vec<String> {
    if let Some(member) = MEMBER.captures(line) {
        return vec![member[1].to_string()];
    }
    if !line.contains("error:") {
        return Vec::new();
    }
    let guard = |name: &str| {
        let inner = name.strip_prefix("class_")?;
        ["_t", "_constructor", "_destructor", "_lock_ptr"]
            .iter()
            .find_map(|end| Some(inner.strip_suffix(end)?.to_string()))
    };
    QUOTED.captures_iter(line).map(|c| guard(&c[1]).unwrap_or_else(|| c[1].to_string())).collect()
}

/// What of `changed`, each file with its difference, a fix of `have` needs besides. Empty where nothing helps. `sees`
/// says whether a unit, which comes second, may include a header, and how many files may.
///
/// Of another file come only the hunks that have a missing name in them: the rest of it belongs to other fixes. Of the
/// headers that have one, that which the fewest include comes first; where it does not help, the next does.
pub fn needs(
    refusals: &[Refusal],
    have: &Parts,
    changed: &[(String, String)],
    sees: &dyn Fn(&str, &str) -> Option<usize>,
) -> Parts {
    let others: Vec<Other> =
        changed.iter().filter(|(path, _)| !have.has_all_of(path)).map(|(path, diff)| Other::new(path, diff)).collect();
    let names = missing(refusals);
    // A changed header breaks files that were changed along with it.
    let mut along = Parts::default();
    for refusal in broken(refusals) {
        let Some(other) = others.iter().find(|o| o.path == refusal.section) else { continue };
        let hunks = names.iter().flat_map(|name| other.with(name, all)).filter(|n| !have.has(other.path, *n));
        let mut found = Parts::default();
        hunks.for_each(|n| found.add_hunk(other.path, n));
        along.add(&if found.is_empty() { Parts::whole(other.path) } else { found });
    }
    // What broke this one has broken others that the compiler did not come to.
    for (header, name) in names.iter().flat_map(|name| declared(name, have, changed).map(move |h| (h, name))) {
        // What a pointer to a function is set to is named after it.
        let named_so = |line: &str| {
            let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            words.filter_map(|w| w.strip_suffix(name.as_str())).any(|begin| begin.is_empty() || begin.ends_with('_'))
        };
        for user in others.iter().filter(|o| o.path != header && sees(header, o.path).is_some()) {
            let hunks = user.hunks.iter().enumerate().filter(|(_, hunk)| hunk.lines().skip(1).any(named_so));
            hunks.map(|(n, _)| n + 1).filter(|n| !have.has(user.path, *n)).for_each(|n| along.add_hunk(user.path, n));
        }
    }
    if !along.is_empty() {
        return along;
    }
    let absent = absent(refusals, &others);
    if !absent.is_empty() {
        return absent;
    }
    let (headers, sources): (Vec<&Other>, Vec<&Other>) = others.iter().partition(|o| o.path.ends_with(".h"));
    let units: BTreeSet<&str> = broken(refusals).map(|r| r.section.as_str()).collect();
    // What the units that do not compile never see does not help them.
    let width = |path: &str| match path.ends_with(".h") {
        true => units.iter().find_map(|unit| sees(path, unit)),
        false => Some(0),
    };
    let undefined: BTreeSet<String> =
        refusals.iter().filter(|r| r.code == "unknown-symbol").map(|r| r.symbol.clone()).collect();
    let hints: [(&[&Other], &BTreeSet<String>, Lines); 3] =
        [(&headers, &names, added), (&headers, &names, all), (&sources, &undefined, defines)];
    // The surest hint first: a header that adds the name, one that has it beside what changed, a file that defines it.
    for (files, names, lines) in hints {
        let mut found = Parts::default();
        for name in names {
            let mut those: Vec<(&str, Vec<usize>)> = files.iter().map(|o| (o.path, o.with(name, lines))).collect();
            those.iter_mut().for_each(|(path, hunks)| hunks.retain(|n| !have.has(path, *n)));
            those.retain(|(_, hunks)| !hunks.is_empty());
            // A name that is all over the release is a hint in the same folder alone.
            if those.len() > 8 {
                those.retain(|(path, _)| have.paths().any(|p| folder(p) == folder(path)));
            }
            let seen = those.into_iter().filter_map(|(path, hunks)| Some((width(path)?, path, hunks)));
            if let Some((_, path, hunks)) = seen.min() {
                hunks.into_iter().for_each(|n| found.add_hunk(path, n));
            }
        }
        if !found.is_empty() {
            return found;
        }
    }
    // The hunks that were taken may need others of the same file.
    let mut whole = Parts::default();
    if !names.is_empty() || !undefined.is_empty() {
        have.cut().for_each(|path| whole.add(&Parts::whole(path)));
    }
    whole
}

/// The headers of `have` that change something beside a name.
fn declared<'a>(name: &str, have: &Parts, changed: &'a [(String, String)]) -> impl Iterator<Item = &'a str> {
    let headers = changed.iter().filter(|(path, _)| path.ends_with(".h") && have.paths().any(|p| p == path));
    let of = |(path, diff): &'a (String, String)| {
        let hunks = Other::new(path, diff).with(name, all);
        hunks.iter().any(|n| have.has(path, *n)).then_some(path.as_str())
    };
    headers.filter_map(of).collect::<Vec<_>>().into_iter()
}

/// The headers that are included and not there, and that the release adds.
fn absent(refusals: &[Refusal], others: &[Other]) -> Parts {
    let mut found = Parts::default();
    for refusal in broken(refusals) {
        let Some(name) = refusal.reason.lines().find_map(|l| Some(ABSENT.captures(l)?[1].to_string())) else {
            continue;
        };
        let those: Vec<&str> = others.iter().map(|o| o.path).filter(|path| includes::may_be(&name, path)).collect();
        let beside = those.iter().find(|path| folder(path) == folder(&refusal.section));
        if let Some(path) = beside.or(those.first()) {
            found.add(&Parts::whole(path));
        }
    }
    found
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A changed file that a fix has not all of.
struct Other<'a> {
    path: &'a str,
    hunks: Vec<&'a str>,
}

impl<'a> Other<'a> {
    fn new(path: &'a str, diff: &'a str) -> Self {
        let starts: Vec<usize> =
            diff.match_indices("@@ ").map(|(at, _)| at).filter(|at| diff[..*at].ends_with('\n')).collect();
        let ends = starts.iter().skip(1).copied().chain([diff.len()]);
        Self { path, hunks: starts.iter().zip(ends).map(|(from, to)| &diff[*from..to]).collect() }
    }

    /// The hunks, by number, that have `name` as a whole word in one of the `lines` that count.
    fn with(&self, name: &str, lines: Lines) -> Vec<usize> {
        let hunks = self.hunks.iter().enumerate().filter(|(_, hunk)| has(hunk, name, lines));
        hunks.map(|(n, _)| n + 1).collect()
    }
}

/// Which lines of a hunk count.
type Lines = fn(&str) -> bool;

fn all(_: &str) -> bool {
    true
}

fn added(line: &str) -> bool {
    line.starts_with('+')
}

/// A definition begins where no other line of a function does.
fn defines(line: &str) -> bool {
    line.strip_prefix('+').is_some_and(|l| l.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

/// Whether a hunk has `name` as a whole word in one of the `lines` that count.
fn has(hunk: &str, name: &str, lines: Lines) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    hunk.lines().skip(1).filter(|l| lines(l)).any(|line| {
        line.match_indices(name)
            .any(|(at, _)| !line[..at].ends_with(word) && !line[at + name.len()..].starts_with(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(code: &str, symbol: &str, section: &str, reason: &str) -> Refusal {
        Refusal::new(code, symbol, section, reason.into(), "")
    }

    fn parts(words: &[&str]) -> Parts {
        Parts::from(words.iter().map(|w| w.to_string()).collect::<Vec<_>>())
    }

    fn needs(refusals: &[Refusal], have: &Parts, changed: &[(String, String)]) -> Parts {
        super::needs(refusals, have, changed, &|header, unit| {
            let seen = ![header, unit].iter().any(|path| path.starts_with("unseen/"));
            seen.then_some(header.len())
        })
    }

    fn changed(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(p, d)| (p.to_string(), format!("--- a/{p}\n+++ b/{p}\n{d}"))).collect()
    }

    #[test]
    fn headers_come_before_other_files_and_only_what_is_missing() {
        let changed = changed(&[
            ("include/a.h", "@@ -1 +1,2 @@\n+\tint other;\n@@ -9 +10,2 @@\n+\tint fresh;\n"),
            ("net/b.c", "@@ -1 +1,2 @@\n+\tx->fresh = 1;\n+\tfreshly();\n"),
            ("net/c.c", "@@ -1 +1,2 @@\n+int helper(void)\n"),
        ]);
        let have = Parts::whole("net/b.c");
        let gcc = "The compiler says:\n    net/b.c:3:4: error: 'struct x' has no member named 'fresh'\n    net/b.c:1: note: 'helper'";
        let found = needs(&[says("does-not-compile", "", "net/b.c", gcc)], &have, &changed);
        assert_eq!(found, parts(&["include/a.h#2"]));
        let found = needs(&[says("unknown-symbol", "helper", "net/b.c, .text", "")], &have, &changed);
        assert_eq!(found, parts(&["net/c.c#1"]));
        // What was cut out did not do: the whole file.
        let gcc = "The compiler says:\n    include/a.h:9:4: error: unknown type name 'strange'";
        let found =
            needs(&[says("does-not-compile", "", "net/b.c", gcc)], &parts(&["include/a.h#2", "net/b.c"]), &changed);
        assert_eq!(found, parts(&["include/a.h"]));
        assert!(needs(&[says("unknown-symbol", "help", "", "")], &have, &changed).is_empty());
        assert!(needs(&[says("data-changed", "fresh", "", "")], &have, &changed).is_empty());
    }

    #[test]
    fn what_stands_beside_the_change_is_a_hint_too() {
        let near = changed(&[("a.h", "@@ -1,3 +1,3 @@\n-int old;\n+int new;\n int near(void);\n")]);
        let gcc = "The compiler says:\n    net/b.c:3:4: error: conflicting types for 'near'";
        let have = Parts::whole("net/b.c");
        assert_eq!(needs(&[says("does-not-compile", "", "net/b.c", gcc)], &have, &near), parts(&["a.h#1"]));
        let gcc =
            "net/b.c:3:4: error: initialization of 'int (*)(int)' from incompatible pointer type 'int (*)(void)'\n\
                   net/b.c:3:4: note: (near initialization for 'b_device.near')";
        assert_eq!(needs(&[says("does-not-compile", "", "net/b.c", gcc)], &have, &near), parts(&["a.h#1"]));
        let guard = changed(&[("a.h", "@@ -1 +1,2 @@\n+DEFINE_GUARD(near, int *, f(_T), g(_T))\n")]);
        let gcc = "./include/linux/cleanup.h:86:9: error: unknown type name 'class_near_t'";
        assert_eq!(needs(&[says("does-not-compile", "", "net/b.c", gcc)], &have, &guard), parts(&["a.h#1"]));
    }

    #[test]
    fn only_what_the_unit_can_see_and_what_defines_the_name() {
        let release = changed(&[
            ("unseen/a.h", "@@ -1 +1,2 @@\n+int (*fresh)(int);\n"),
            ("include/a.h", "@@ -1 +1,2 @@\n-\tint (*fresh)(void);\n+\tint (*fresh)(int);\n"),
            ("include/wide.h", "@@ -1 +1,2 @@\n+\tint (*fresh)(int);\n"),
            ("net/user.c", "@@ -1 +1,2 @@\n+\thelper();\n"),
            ("net/new.c", "@@ -0,0 +1,2 @@\n+int\n+helper(void)\n"),
            ("net/new.h", "@@ -0,0 +1,2 @@\n+int helper(void);\n"),
        ]);
        let have = Parts::whole("net/b.c");
        let gcc = "net/b.c:3:4: error: too many arguments to function 'x->ops.one->fresh'";
        assert_eq!(needs(&[says("does-not-compile", "", "net/b.c", gcc)], &have, &release), parts(&["include/a.h#1"]));
        let gcc = "net/b.c:3:4: error: too many arguments to function 'fresh'";
        let both = parts(&["include/a.h#1", "net/b.c"]);
        assert_eq!(
            needs(&[says("does-not-compile", "", "net/b.c", gcc)], &both, &release),
            parts(&["include/wide.h#1"])
        );
        let gcc = "net/b.c:3:4: error: implicit declaration of function 'helper'";
        assert_eq!(needs(&[says("does-not-compile", "", "net/b.c", gcc)], &have, &release), parts(&["net/new.h#1"]));
        assert_eq!(needs(&[says("unknown-symbol", "helper", "net/b.c", "")], &have, &release), parts(&["net/new.c#1"]));
        let gcc = "net/b.c:3:4: fatal error: new.h: No such file or directory";
        assert_eq!(needs(&[says("does-not-compile", "", "net/b.c", gcc)], &have, &release), parts(&["net/new.h"]));
    }

    #[test]
    fn what_a_header_breaks_comes_along() {
        let changed = changed(&[
            ("a.h", "@@ -1 +1 @@\n+int ff(int);\n"),
            ("b.c", "@@ -1 +1 @@\n+g();\n@@ -5 +5 @@\n-ff();\n+ff(1);\n"),
            ("c.c", "@@ -1 +1 @@\n+g();\n"),
            ("unseen/e.c", "@@ -1 +1 @@\n+ff(2);\n"),
        ]);
        let says = |file| [says("does-not-compile", "", file, "b.c:5: error: too few arguments to function 'ff'")];
        let have = Parts::whole("a.h");
        assert_eq!(needs(&says("b.c"), &have, &changed), parts(&["b.c#2"]));
        assert_eq!(needs(&says("b.c"), &parts(&["a.h", "b.c#2"]), &changed), parts(&["b.c"]));
        // The same change of `ff` breaks both, and what an unchanged file has of it.
        assert_eq!(needs(&says("c.c"), &have, &changed), parts(&["b.c#2", "c.c"]));
        assert_eq!(needs(&says("d.c"), &have, &changed), parts(&["b.c#2"]));
    }
}
