// SPDX-License-Identifier: GPL-2.0-or-later
//! Which other changed files a fix does not compile without: refusals in, paths out.
//!
//! A release is not cut into its fixes: a file may use what the same fix puts into a header, or into another file.

use super::parts::Parts;
use kmend_builder::error::Refusal;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
    // gcc quotes names; a type is quoted with its keyword.
    Regex::new(r"[`'‘](?:struct |enum |union )?([A-Za-z_]\w+)['’]").unwrap_or_else(|error| panic!("{error}"))
});

static MEMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"near initialization for [`'‘][^'’]*[.>](\w+)['’]").unwrap_or_else(|error| panic!("{error}"))
});

/// The names that `refusals` say are missing, or are otherwise than the code expects.
fn missing(refusals: &[Refusal]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for refusal in refusals {
        match refusal.code.as_str() {
            "does-not-compile" => names.extend(refusal.reason.lines().flat_map(named)),
            "unknown-symbol" => _ = names.insert(refusal.symbol.clone()),
            _ => {}
        }
    }
    names
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

/// What of `changed`, each file with its difference, a fix of `have` needs besides. Empty where nothing helps.
///
/// Of another file come only the hunks that have a missing name in them: the rest of it belongs to other fixes.
pub fn needs(refusals: &[Refusal], have: &Parts, changed: &[(String, String)]) -> Parts {
    let others: Vec<Other> =
        changed.iter().filter(|(path, _)| !have.has_all_of(path)).map(|(path, diff)| Other::new(path, diff)).collect();
    let names = missing(refusals);
    // A changed header breaks files that were changed along with it.
    let mut broken = Parts::default();
    for refusal in refusals.iter().filter(|r| r.code == "does-not-compile") {
        let Some(other) = others.iter().find(|o| o.path == refusal.section) else { continue };
        let hunks = names.iter().flat_map(|name| other.with(name, true)).filter(|n| !have.has(other.path, *n));
        let mut found = Parts::default();
        hunks.for_each(|n| found.add_hunk(other.path, n));
        broken.add(&if found.is_empty() { Parts::whole(other.path) } else { found });
    }
    if !broken.is_empty() {
        return broken;
    }
    let (headers, sources): (Vec<&Other>, Vec<&Other>) = others.iter().partition(|o| o.path.ends_with(".h"));
    // The surest hint first: a header that adds the name, one that has it beside what changed, a file that adds it.
    for (files, all_lines) in [(&headers, false), (&headers, true), (&sources, false)] {
        let mut found = Parts::default();
        for name in &names {
            let mut those: Vec<(&&Other, Vec<usize>)> =
                files.iter().map(|o| (o, o.with(name, all_lines))).filter(|(_, hunks)| !hunks.is_empty()).collect();
            if those.len() > 3 {
                those.retain(|(o, _)| have.paths().any(|p| folder(p) == folder(o.path)));
            }
            // A name that is all over the release is a hint in the same folder alone.
            if those.len() <= 3 {
                let hunks = those.into_iter().flat_map(|(o, hunks)| hunks.into_iter().map(|n| (o.path, n)));
                hunks.filter(|(path, n)| !have.has(path, *n)).for_each(|(path, n)| found.add_hunk(path, n));
            }
        }
        if !found.is_empty() {
            return found;
        }
    }
    // The hunks that were taken may need others of the same file.
    let mut whole = Parts::default();
    if refusals.iter().any(|r| r.code == "does-not-compile" || r.code == "unknown-symbol") {
        have.cut().for_each(|path| whole.add(&Parts::whole(path)));
    }
    whole
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

    /// The hunks, by number, that have `name` as a whole word in what they add, or in any line.
    fn with(&self, name: &str, all_lines: bool) -> Vec<usize> {
        let hunks = self.hunks.iter().enumerate().filter(|(_, hunk)| has(hunk, name, all_lines));
        hunks.map(|(n, _)| n + 1).collect()
    }
}

/// Whether a hunk has `name` as a whole word in what it adds, or in any line.
fn has(hunk: &str, name: &str, all_lines: bool) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    hunk.lines().skip(1).filter(|l| all_lines || l.starts_with('+')).any(|line| {
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
    fn what_a_header_breaks_comes_along() {
        let changed = changed(&[
            ("a.h", "@@ -1 +1 @@\n+int ff(int);\n"),
            ("b.c", "@@ -1 +1 @@\n+g();\n@@ -5 +5 @@\n-ff();\n+ff(1);\n"),
            ("c.c", "@@ -1 +1 @@\n+g();\n"),
        ]);
        let says = |file| [says("does-not-compile", "", file, "b.c:5: error: too few arguments to function 'ff'")];
        let have = Parts::whole("a.h");
        assert_eq!(needs(&says("b.c"), &have, &changed), parts(&["b.c#2"]));
        assert_eq!(needs(&says("b.c"), &parts(&["a.h", "b.c#2"]), &changed), parts(&["b.c"]));
        assert_eq!(needs(&says("c.c"), &have, &changed), parts(&["c.c"]));
    }
}
