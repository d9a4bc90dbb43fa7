// SPDX-License-Identifier: GPL-2.0-or-later
//! Which other changed files a fix does not compile without: refusals in, paths out.
//!
//! A release is not cut into its fixes: a file may use what the same fix puts into a header, or into another file.

use kmend_builder::error::Refusal;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
    // gcc quotes names; a type is quoted with its keyword.
    Regex::new(r"[`'‘](?:struct |enum |union )?([A-Za-z_]\w+)['’]").unwrap_or_else(|error| panic!("{error}"))
});

/// The names that `refusals` say are missing, or are otherwise than the code expects.
fn missing(refusals: &[Refusal]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for refusal in refusals {
        match refusal.code.as_str() {
            "does-not-compile" => names.extend(
                refusal
                    .reason
                    .lines()
                    .filter(|l| l.contains("error:"))
                    .flat_map(|l| QUOTED.captures_iter(l))
                    .map(|c| c[1].to_string()),
            ),
            "unknown-symbol" => _ = names.insert(refusal.symbol.clone()),
            _ => {}
        }
    }
    names
}

/// The files of `changed`, each with its difference, that a fix of the files `have` needs besides. Empty where none helps.
pub fn needs(refusals: &[Refusal], have: &BTreeSet<String>, changed: &[(String, String)]) -> BTreeSet<String> {
    let others = || changed.iter().filter(|(path, _)| !have.contains(path));
    // A changed header breaks files that were changed along with it.
    let broken: BTreeSet<String> = refusals
        .iter()
        .filter(|r| r.code == "does-not-compile")
        .flat_map(|r| others().filter(|(path, _)| r.section == *path))
        .map(|(path, _)| path.clone())
        .collect();
    if !broken.is_empty() {
        return broken;
    }
    let names = missing(refusals);
    let (headers, sources): (Vec<_>, Vec<_>) = others().partition(|(path, _)| path.ends_with(".h"));
    // The surest hint first: a header that adds the name, one that has it beside what changed, a file that adds it.
    for (files, all_lines) in [(&headers, false), (&headers, true), (&sources, false)] {
        let mut found = BTreeSet::new();
        for name in &names {
            let those: Vec<&String> =
                files.iter().filter(|(_, diff)| has(diff, name, all_lines)).map(|(path, _)| path).collect();
            // A name that is all over the release is no hint.
            if those.len() <= 3 {
                found.extend(those.into_iter().cloned());
            }
        }
        if !found.is_empty() {
            return found;
        }
    }
    BTreeSet::new()
}

/// Whether a difference has `name` as a whole word in what it adds, or in any line.
fn has(diff: &str, name: &str, all_lines: bool) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    diff.lines().filter(|l| all_lines || (l.starts_with('+') && !l.starts_with("+++"))).any(|line| {
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

    #[test]
    fn headers_come_before_other_files() {
        let changed = [
            ("include/a.h", "+++ b/include/a.h\n+\tint fresh;\n"),
            ("net/b.c", "+\tx->fresh = 1;\n+\tfreshly();\n"),
            ("net/c.c", "+int helper(void)\n"),
        ]
        .map(|(p, d)| (p.to_string(), d.to_string()));
        let have = BTreeSet::from(["net/b.c".to_string()]);
        let gcc = "The compiler says:\n    net/b.c:3:4: error: 'struct x' has no member named 'fresh'\n    net/b.c:1: note: 'helper'";
        let found = needs(&[says("does-not-compile", "", "net/b.c", gcc)], &have, &changed);
        assert_eq!(found, BTreeSet::from(["include/a.h".to_string()]));
        let found = needs(&[says("unknown-symbol", "helper", "net/b.c, .text", "")], &have, &changed);
        assert_eq!(found, BTreeSet::from(["net/c.c".to_string()]));
        let gcc = "The compiler says:\n    net/b.c:3:4: error: conflicting types for 'near'";
        let near = [("a.h".to_string(), "-int old;\n+int new;\n int near(void);\n".to_string())];
        let found = needs(&[says("does-not-compile", "", "net/b.c", gcc)], &have, &near);
        assert_eq!(found, BTreeSet::from(["a.h".to_string()]));
        assert!(needs(&[says("unknown-symbol", "help", "", "")], &have, &changed).is_empty());
        assert!(needs(&[says("data-changed", "fresh", "", "")], &have, &changed).is_empty());
    }

    #[test]
    fn what_a_header_breaks_comes_along() {
        let changed = [("a.h", "+int f(int);\n"), ("b.c", "+f(1);\n")].map(|(p, d)| (p.to_string(), d.to_string()));
        let have = BTreeSet::from(["a.h".to_string()]);
        let found =
            needs(&[says("does-not-compile", "", "b.c", "error: too few arguments to function 'f'")], &have, &changed);
        assert_eq!(found, BTreeSet::from(["b.c".to_string()]));
    }
}
