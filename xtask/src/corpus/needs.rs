// SPDX-License-Identifier: GPL-2.0-or-later
//! Which other changed files a fix does not compile without: refusals in, paths out.
//!
//! A release is not cut into its fixes: a file may use what the same fix puts into a header, or into another file.

use super::hunks::{groups, hunks, Group};
use super::parts::Parts;
use super::seen::{set_in, Release};
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

static IN_FUNCTION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"In function [`'‘](\w+)['’]").unwrap_or_else(|error| panic!("{error}")));

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
pub fn needs(refusals: &[Refusal], have: &Parts, changed: &[(String, String)], release: &dyn Release) -> Parts {
    let others: Vec<Other> =
        changed.iter().filter(|(path, _)| !have.has_all_of(path)).map(|(path, diff)| Other::new(path, diff)).collect();
    let names = missing(refusals);
    let undefined: BTreeSet<String> =
        refusals.iter().filter(|r| r.code == "unknown-symbol").map(|r| r.symbol.clone()).collect();
    let hint = |files: Kind, names, lines| {
        let files: Vec<&Other> = others.iter().filter(|o| files(o)).collect();
        hinted(names, &files, lines, refusals, have, release)
    };
    // The surest first.
    let steps: [&dyn Fn() -> Parts; 7] = [
        &|| along(refusals, have, changed, &others, release),
        &|| absent(refusals, &others),
        &|| hint(|o| o.is_header(), &names, added),
        &|| broken_whole(refusals, &others),
        &|| hint(|o| o.is_header(), &names, all),
        &|| hint(|o| !o.is_header(), &undefined, defines),
        &|| match names.is_empty() && undefined.is_empty() {
            true => Parts::default(),
            // The hunks that were taken may need others of the same file.
            false => have.cut().fold(Parts::default(), |mut all, path| {
                all.add(&Parts::whole(path));
                all
            }),
        },
    ];
    steps.iter().map(|step| step()).find(|found| !found.is_empty()).unwrap_or_default()
}

/// All of the changed units that do not compile.
fn broken_whole(refusals: &[Refusal], others: &[Other]) -> Parts {
    let those = broken(refusals).filter(|r| others.iter().any(|o| o.path == r.section));
    those.fold(Parts::default(), |mut all, refusal| {
        all.add(&Parts::whole(&refusal.section));
        all
    })
}

/// What a changed declaration breaks, and what was changed along with it: hunks of the units that do not compile, and of
/// those that the compiler did not come to.
fn along(
    refusals: &[Refusal],
    have: &Parts,
    changed: &[(String, String)],
    others: &[Other],
    release: &dyn Release,
) -> Parts {
    let mut along = Parts::default();
    for refusal in broken(refusals) {
        let Some(other) = others.iter().find(|o| o.path == refusal.section) else { continue };
        let text = release.text(other.path).unwrap_or_default();
        let mut words = set_to(&missing(std::slice::from_ref(refusal)), &text);
        words.extend(IN_FUNCTION.captures_iter(&refusal.reason).map(|c| c[1].to_string()));
        other.about(&words, &text, true, have, &mut along);
    }
    for name in missing(refusals) {
        for header in declared(&name, have, changed) {
            let name = BTreeSet::from([name.clone()]);
            let users: Vec<(&Other, String)> = others
                .iter()
                .filter(|o| o.path != header && release.width(header, o.path).is_some())
                .map(|o| (o, release.text(o.path).unwrap_or_default()))
                .collect();
            // What one file sets a pointer to may stand in another, and that file need not have changed.
            let broken: Vec<String> = broken(refusals).filter_map(|r| release.text(&r.section)).collect();
            let texts = users.iter().map(|(_, text)| text).chain(&broken);
            let words: BTreeSet<String> = texts.flat_map(|text| set_to(&name, text)).collect();
            users.iter().for_each(|(user, text)| user.about(&words, text, false, have, &mut along));
        }
    }
    along
}

/// Names, and the functions that a text sets members of these names to.
fn set_to(names: &BTreeSet<String>, text: &str) -> BTreeSet<String> {
    names.iter().flat_map(|name| set_in(text, name)).chain(names.iter().cloned()).collect()
}

/// Of `files`, the hunks that have `names` in the `lines` that count.
fn hinted(
    names: &BTreeSet<String>,
    files: &[&Other],
    lines: Lines,
    refusals: &[Refusal],
    have: &Parts,
    release: &dyn Release,
) -> Parts {
    let units: BTreeSet<&str> = broken(refusals).map(|r| r.section.as_str()).collect();
    // What the units that do not compile never see does not help them.
    let width = |path: &str| match path.ends_with(".h") {
        true => units.iter().find_map(|unit| release.width(path, unit)),
        false => Some(0),
    };
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
    found
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

/// Which files count.
type Kind = fn(&Other) -> bool;

/// A changed file that a fix has not all of.
struct Other<'a> {
    path: &'a str,
    hunks: Vec<&'a str>,
}

impl<'a> Other<'a> {
    fn new(path: &'a str, diff: &'a str) -> Self {
        Self { path, hunks: hunks(diff) }
    }

    fn is_header(&self) -> bool {
        self.path.ends_with(".h")
    }

    /// Puts into `parts` what has one of `words` in it and is not in `have`: groups of hunks. Where the file is known not to
    /// compile (`broken`), that is all in what begins with such a word, and whole hunks with a word nearby; otherwise all in
    /// functions that return something else. `text` is the file's.
    fn about(&self, words: &BTreeSet<String>, text: &str, broken: bool, have: &Parts, parts: &mut Parts) {
        let any = |line: &str| words.iter().any(|word| is_in(line, word));
        let retyped: Vec<&String> = words.iter().filter(|word| self.returns_other(word)).collect();
        let all_of = |line: &str| broken && any(line) || retyped.iter().any(|word| is_in(line, word));
        for (n, hunk) in self.hunks.iter().enumerate().map(|(n, hunk)| (n + 1, hunk)) {
            let lines: Vec<&str> = hunk.lines().collect();
            let groups = groups(hunk);
            let named = |group: &Group| {
                let changed = &lines[group.lines.clone()];
                let call = lines[..group.lines.start].iter().skip(1).last().filter(|line| is_open(line));
                // What a function returns may stand on a line before its name.
                let head = lines.get(group.lines.end).filter(|_| changed.last().is_some_and(|line| is_head(line)));
                changed.iter().chain(call).chain(head).any(|line| any(line))
                    || begins(text, group.at).is_some_and(all_of)
            };
            let those: Vec<usize> = (1..=groups.len()).filter(|group| named(&groups[group - 1])).collect();
            let nearby = broken && those.is_empty() && lines.iter().skip(1).any(|line| any(line));
            if nearby || !those.is_empty() && those.len() == groups.len() {
                if !have.has(self.path, n) {
                    parts.add_hunk(self.path, n);
                }
                continue;
            }
            let fresh = those.into_iter().filter(|group| !have.has_group(self.path, n, *group));
            fresh.for_each(|group| parts.add_group(self.path, n, group));
        }
    }

    /// Whether what stands before `name` where it is defined is not what stood there.
    fn returns_other(&self, name: &str) -> bool {
        let (mut old, mut new) = (BTreeSet::new(), BTreeSet::new());
        for hunk in &self.hunks {
            let lines: Vec<&str> = hunk.lines().skip(1).collect();
            for (n, line) in lines.iter().enumerate() {
                let has_name = |line: &&&str| is_in(line, name);
                let before = match line.find(name).filter(|_| is_definition(line) && has_name(&line)) {
                    Some(at) => &line[1..at],
                    // The name may stand on the line after what it returns.
                    None if is_head(line) => match lines[n + 1..].iter().find(|l| !is_head(l)).filter(has_name) {
                        Some(_) => &line[1..],
                        None => continue,
                    },
                    None => continue,
                };
                match line.as_bytes().first() {
                    Some(b'-') => _ = old.insert(before),
                    Some(b'+') => _ = new.insert(before),
                    _ => {}
                }
            }
        }
        !old.is_empty() && !new.is_empty() && old != new
    }

    /// The hunks, by number, that have `name` as a whole word in one of the `lines` that count.
    fn with(&self, name: &str, lines: Lines) -> Vec<usize> {
        let hunks = self.hunks.iter().enumerate().filter(|(_, hunk)| has(hunk, name, lines));
        hunks.map(|(n, _)| n + 1).collect()
    }
}

/// The line that the function, or whatever else, begins with that line `n` of `text` is in.
fn begins(text: &str, n: usize) -> Option<&str> {
    let starts = |line: &&str| line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !line.ends_with(':');
    text.lines().take(n).filter(starts).last()
}

/// Whether a line begins a call that goes on.
fn is_open(line: &str) -> bool {
    line.matches('(').count() > line.matches(')').count()
}

/// Whether a line of a hunk begins a definition, or a declaration.
fn is_definition(line: &str) -> bool {
    line.get(1..).is_some_and(|line| line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

/// Whether it begins one without the name.
fn is_head(line: &str) -> bool {
    is_definition(line) && !line.contains(['(', ';', '='])
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
    hunk.lines().skip(1).filter(|l| lines(l)).any(|line| is_in(line, name))
}

/// Whether a line has `name` as a whole word.
fn is_in(line: &str, name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(name).any(|(at, _)| !line[..at].ends_with(word) && !line[at + name.len()..].starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree;

    impl Release for Tree {
        fn width(&self, header: &str, unit: &str) -> Option<usize> {
            let seen = ![header, unit].iter().any(|path| path.starts_with("unseen/"));
            seen.then_some(header.len())
        }

        fn text(&self, path: &str) -> Option<String> {
            match path {
                "set.c" => Some(TEXT.into()),
                "same.c" => Some(".ff = set_other".into()),
                _ => None,
            }
        }
    }

    const TEXT: &str =
        "static void\nset_one(void)\n{\nout:\n\treturn;\n}\n\nstruct ops ops = {\n\t.ff = set_one,\n};\n";

    fn says(code: &str, symbol: &str, section: &str, reason: &str) -> Refusal {
        Refusal::new(code, symbol, section, reason.into(), "")
    }

    fn parts(words: &[&str]) -> Parts {
        Parts::from(words.iter().map(|w| w.to_string()).collect::<Vec<_>>())
    }

    fn needs(refusals: &[Refusal], have: &Parts, changed: &[(String, String)]) -> Parts {
        super::needs(refusals, have, changed, &Tree)
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
        assert_eq!(needs(&says("c.c"), &have, &changed), parts(&["b.c#2"]));
        assert_eq!(needs(&says("c.c"), &parts(&["a.h", "b.c#2"]), &changed), parts(&["c.c"]));
        assert_eq!(needs(&says("d.c"), &have, &changed), parts(&["b.c#2"]));
    }

    #[test]
    fn other_changes_of_a_hunk_stay_out() {
        let changed = changed(&[
            ("a.h", "@@ -1 +1 @@\n-void ff(void);\n+void ff(int);\n"),
            ("b.c", "@@ -1,7 +1,8 @@\n-\tx();\n+\ty();\n z;\n-\tff();\n+\tff(1);\n z;\n-\tff(\n+\tff(1,\n \t\t3);\n+\tw();\n z;\n"),
            ("c.c", "@@ -1,3 +1,3 @@\n ff(\n-\t\t2);\n+\t\t3);\n z;\n"),
        ]);
        let refusals = [says("does-not-compile", "", "d.c", "d.c:5: error: too few arguments to function 'ff'")];
        assert_eq!(needs(&refusals, &Parts::whole("a.h"), &changed), parts(&["b.c#1.2,1.3", "c.c#1"]));
    }

    #[test]
    fn all_of_a_function_changes_with_what_it_returns() {
        let body = "@@ -5 +5,2 @@\n+\tother();\n \treturn;\n";
        let with = |head: &str| {
            let text = format!("@@ -1,2 +1,2 @@\n{head}\n{body}");
            let changed = changed(&[("a.h", "@@ -1 +1 @@\n-void (*ff)(int);\n+int (*ff)(int);\n"), ("set.c", &text)]);
            let gcc = "d.c:3:4: error: initialization\nd.c:3:4: note: (near initialization for 'd_ops.ff')";
            needs(&[says("does-not-compile", "", "d.c", gcc)], &Parts::whole("a.h"), &changed)
        };
        assert_eq!(with("-static void\n+static int\n set_one(void)"), parts(&["set.c#1,2"]));
        assert_eq!(with("-void set_one(void)\n+int set_one(void)"), parts(&["set.c#1,2"]));
        assert_eq!(with(" static void\n-set_one(void)\n+set_one(int x)"), parts(&["set.c#1"]));
        assert_eq!(with("-void set_one(void)\n+void set_one(int x)"), parts(&["set.c#1"]));
    }

    #[test]
    fn what_a_pointer_is_set_to_changes_with_it() {
        let changed = changed(&[
            ("a.h", "@@ -1 +1 @@\n-void (*ff)(int);\n+int (*ff)(int);\n"),
            // The second hunk changes what the function returns, and does not name it.
            ("other.c", "@@ -1 +1 @@\n-set_other(int x)\n+set_other(void)\n"),
            ("unseen/b.c", "@@ -1 +1 @@\n+\tset_other();\n"),
            ("set.c", "@@ -1,2 +1,2 @@\n-static void\n+static int\n set_one(void)\n@@ -5 +5 @@\n-\treturn;\n+\treturn 0;\n@@ -12 +12 @@\n+int x;\n"),
        ]);
        let gcc = "d.c:3:4: error: initialization\nd.c:3:4: note: (near initialization for 'd_ops.ff')";
        let refusals = [says("does-not-compile", "", "d.c", gcc)];
        assert_eq!(needs(&refusals, &Parts::whole("a.h"), &changed), parts(&["set.c#1,2"]));
        let gcc =
            "set.c: In function 'set_one':\nset.c:5:4: error: 'return' with no value, in function returning non-void";
        let refusals = [says("does-not-compile", "", "set.c", gcc)];
        assert_eq!(needs(&refusals, &parts(&["a.h", "set.c#1"]), &changed), parts(&["set.c#2"]));
    }
}
