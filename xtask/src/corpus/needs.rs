// SPDX-License-Identifier: GPL-2.0-or-later
//! Which other changed files a fix does not compile without: refusals in, parts of files out.
//!
//! A release is not cut into its fixes: a file may use what the same fix puts into a header, or into another file.

use super::other::{added, all, defines, Lines, Other};
use super::parts::Parts;
use super::says::{self, broken, missing};
use super::seen::{set_in, Release};
use kmend_builder::error::Refusal;
use kmend_builder::reach::includes;
use std::collections::BTreeSet;

/// What of `changed`, each file with its difference, a fix of `have` needs besides. Empty where nothing helps.
///
/// Of another file come only the hunks that have a missing name in them: the rest of it belongs to other fixes. Of the
/// headers that have one, that which the fewest include comes first; where it does not help, the next does.
pub fn needs(refusals: &[Refusal], have: &Parts, changed: &[(String, String)], release: &dyn Release) -> Parts {
    let others = changed.iter().filter(|(path, _)| !have.has_all_of(path)).map(|(path, diff)| Other::new(path, diff));
    let search = Search {
        refusals,
        have,
        changed,
        others: others.collect(),
        release,
        names: missing(refusals),
        suspect: says::suspect(refusals),
        undefined: refusals.iter().filter(|r| r.code == "unknown-symbol").map(|r| r.symbol.clone()).collect(),
    };
    // The surest first.
    let steps: [&dyn Fn() -> Parts; 8] = [
        &|| search.along(),
        &|| search.absent(),
        &|| search.hinted(&search.names, |other| other.is_header(), added),
        &|| search.hinted(&search.suspect, |other| other.is_header(), added),
        &|| search.broken_whole(),
        &|| search.hinted(&search.names, |other| other.is_header(), all),
        &|| search.hinted(&search.undefined, |other| !other.is_header(), defines),
        &|| search.all_of_cut(),
    ];
    steps.iter().map(|step| step()).find(|found| !found.is_empty()).unwrap_or_default()
}

/// A fix that does not compile, and what may help it.
struct Search<'a> {
    refusals: &'a [Refusal],
    have: &'a Parts,
    changed: &'a [(String, String)],
    /// The changed files that the fix has not all of.
    others: Vec<Other<'a>>,
    release: &'a dyn Release,
    /// What the compiler misses.
    names: BTreeSet<String>,
    /// What it finds otherwise, perhaps.
    suspect: BTreeSet<String>,
    /// What the linker would miss.
    undefined: BTreeSet<String>,
}

impl Search<'_> {
    /// What a changed declaration breaks, and what was changed along with it: parts of the units that do not compile, and
    /// of those that the compiler did not reach.
    fn along(&self) -> Parts {
        let mut along = Parts::default();
        for refusal in broken(self.refusals) {
            let Some(other) = self.others.iter().find(|o| o.path == refusal.section) else { continue };
            let text = self.text(other.path);
            let mut words = set_to(&missing([refusal]), &text);
            words.extend(says::functions(refusal));
            other.about(&words, &text, true, self.have, &mut along);
        }
        for (name, header) in self.names.iter().flat_map(|name| self.declared(name).map(move |h| (name, h))) {
            let name = BTreeSet::from([name.clone()]);
            let users = self.others.iter().filter(|o| o.path != header && self.release.width(header, o.path).is_some());
            let users: Vec<(&Other, String)> = users.map(|o| (o, self.text(o.path))).collect();
            // What one file sets a pointer to may be in another, and that file need not have changed.
            let broken: Vec<String> = broken(self.refusals).map(|r| self.text(&r.section)).collect();
            let texts = users.iter().map(|(_, text)| text).chain(&broken);
            let words: BTreeSet<String> = texts.flat_map(|text| set_to(&name, text)).collect();
            users.iter().for_each(|(user, text)| user.about(&words, text, false, self.have, &mut along));
        }
        along
    }

    /// The headers that the fix has something of and that change how a name is declared.
    fn declared<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let headers =
            self.changed.iter().filter(|(path, _)| path.ends_with(".h") && self.have.paths().any(|p| p == path));
        headers.filter_map(move |(path, diff)| {
            let hunks = Other::new(path, diff).changing(name);
            hunks.iter().any(|n| self.have.has(path, *n)).then_some(path.as_str())
        })
    }

    /// The headers that are included and not there, and that the release adds.
    fn absent(&self) -> Parts {
        let absent = |refusal: &Refusal| {
            let name = says::absent(refusal)?;
            let those: Vec<&str> =
                self.others.iter().map(|o| o.path).filter(|path| includes::may_be(&name, path)).collect();
            let beside = those.iter().find(|path| folder(path) == folder(&refusal.section));
            beside.or(those.first()).map(|path| path.to_string())
        };
        Parts::of_whole(broken(self.refusals).filter_map(absent))
    }

    /// The hunks of some files that have `names` in the `lines` that count.
    fn hinted(&self, names: &BTreeSet<String>, files: fn(&Other) -> bool, lines: Lines) -> Parts {
        let units: BTreeSet<&str> = broken(self.refusals).map(|r| r.section.as_str()).collect();
        // What the units that do not compile never see does not help them.
        let width = |path: &str| match path.ends_with(".h") {
            true => units.iter().find_map(|unit| self.release.width(path, unit)),
            false => Some(0),
        };
        let mut found = Parts::default();
        for name in names {
            let files = self.others.iter().filter(|o| files(o));
            let mut those: Vec<(&str, Vec<usize>)> = files.map(|o| (o.path, o.with(name, lines))).collect();
            those.iter_mut().for_each(|(path, hunks)| hunks.retain(|n| !self.have.has(path, *n)));
            those.retain(|(_, hunks)| !hunks.is_empty());
            // A name that is all over the release is a hint in the same folder alone.
            if those.len() > 8 {
                those.retain(|(path, _)| self.have.paths().any(|p| folder(p) == folder(path)));
            }
            let seen = those.into_iter().filter_map(|(path, hunks)| Some((width(path)?, path, hunks)));
            if let Some((_, path, hunks)) = seen.min() {
                hunks.into_iter().for_each(|n| found.add_hunk(path, n));
            }
        }
        found
    }

    /// All of the changed units that do not compile.
    fn broken_whole(&self) -> Parts {
        let is_changed = |r: &&Refusal| self.others.iter().any(|o| o.path == r.section);
        Parts::of_whole(broken(self.refusals).filter(is_changed).map(|r| r.section.clone()))
    }

    /// All of the files that the fix has parts of: these may need others of the same file.
    fn all_of_cut(&self) -> Parts {
        let misses = [&self.names, &self.suspect, &self.undefined].iter().any(|names| !names.is_empty());
        Parts::of_whole(self.have.cut().filter(|_| misses).cloned())
    }

    fn text(&self, path: &str) -> String {
        self.release.text(path).unwrap_or_default()
    }
}

/// Names, and the functions that a text sets members of these names to.
fn set_to(names: &BTreeSet<String>, text: &str) -> BTreeSet<String> {
    names.iter().flat_map(|name| set_in(text, name)).chain(names.iter().cloned()).collect()
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
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
    fn a_member_of_another_type_is_looked_for_in_headers_alone() {
        let changed = changed(&[
            ("a.h", "@@ -1 +1 @@\n-\tstruct x wk;\n+\tstruct y wk;\n"),
            ("b.c", "@@ -1 +1 @@\n-\tg(&x->wk);\n+\th(&x->wk);\n@@ -9 +9 @@\n-\ti(&x->wk);\n+\tj(&x->wk);\n"),
        ]);
        let gcc = "b.c:1:3: error: passing argument 1 of 'h' from incompatible pointer type\n    1 | h(&x->wk);";
        let refusals = [says("does-not-compile", "", "b.c", gcc)];
        assert_eq!(needs(&refusals, &parts(&["b.c#1"]), &changed), parts(&["a.h#1"]));
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
        // A declaration over several lines, of which another than that with the name differs.
        let mut long = changed.clone();
        long[0].1 =
            "@@ -1,4 +1,4 @@\n \tint x;\n \tvoid (*ff)(int (*)(void),\n \t\tint a,\n-\t\tint b);\n+\t\tbool b);\n"
                .into();
        assert_eq!(needs(&refusals, &Parts::whole("a.h"), &long), parts(&["set.c#1,2"]));
        long[0].1 = "@@ -1,4 +1,4 @@\n \tvoid (*ff)(int);\n-\tint b;\n+\tbool b;\n".into();
        assert!(needs(&refusals, &Parts::whole("a.h"), &long).is_empty());
        let gcc =
            "set.c: In function 'set_one':\nset.c:5:4: error: 'return' with no value, in function returning non-void";
        let refusals = [says("does-not-compile", "", "set.c", gcc)];
        assert_eq!(needs(&refusals, &parts(&["a.h", "set.c#1"]), &changed), parts(&["set.c#2"]));
    }
}
