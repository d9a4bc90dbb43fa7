// SPDX-License-Identifier: GPL-2.0-or-later
//! What gcc says about a fix that does not compile: refusals in, names out.

use kmend_builder::error::Refusal;
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

/// A line of the source, as gcc shows it.
static SHOWN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*\d+ \|(.*)$").unwrap_or_else(|error| panic!("{error}")));

/// The function whose value is taken.
static TAKEN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:=|return|\()\s*(\w+)\(").unwrap_or_else(|error| panic!("{error}")));

/// A member of something.
static OF: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:->|\.)\s*(\w+)").unwrap_or_else(|error| panic!("{error}")));

/// The names that the compiler says are missing, or are otherwise than the code expects.
pub fn missing<'a>(refusals: impl IntoIterator<Item = &'a Refusal>) -> BTreeSet<String> {
    broken(refusals).flat_map(|refusal| refusal.reason.lines().flat_map(named)).collect()
}

/// The names in lines of the source that the compiler finds fault with: some of them may be otherwise than the code expects.
pub fn suspect<'a>(refusals: impl IntoIterator<Item = &'a Refusal>) -> BTreeSet<String> {
    let of = |refusal: &Refusal| {
        let lines: Vec<&str> = refusal.reason.lines().collect();
        lines.windows(2).flat_map(|two| shown(two[0], two[1])).collect::<Vec<_>>()
    };
    broken(refusals).flat_map(of).collect()
}

/// The names that an error is about but does not mention: they are in the `line` of the source that follows it.
fn shown(error: &str, line: &str) -> Vec<String> {
    let names = |names: &Regex| match SHOWN.captures(line) {
        Some(source) => names.captures_iter(&source[1]).map(|c| c[1].to_string()).collect(),
        None => Vec::new(),
    };
    if error.contains("error:") && error.contains("void value not ignored") {
        // The function returns something by now.
        names(&TAKEN)
    } else if error.contains("error:") && error.contains("from incompatible pointer type") {
        // The member has another type by now.
        names(&OF)
    } else {
        Vec::new()
    }
}

/// The refusals of what does not compile.
pub fn broken<'a>(refusals: impl IntoIterator<Item = &'a Refusal>) -> impl Iterator<Item = &'a Refusal> {
    refusals.into_iter().filter(|r| r.code == "does-not-compile")
}

/// The names in a line of the compiler. A name that cleanup.h builds from the name of a guard counts as that name.
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
    let names = QUOTED.captures_iter(line).map(|c| guard(&c[1]).unwrap_or_else(|| c[1].to_string()));
    names.filter(|name| !KEYWORDS.contains(&name.as_str())).collect()
}

/// Words that gcc quotes and that name nothing.
const KEYWORDS: [&str; 19] = [
    "_Bool", "bool", "break", "case", "char", "const", "continue", "default", "else", "extern", "goto", "inline",
    "int", "long", "return", "static", "unsigned", "void", "volatile",
];

/// The functions in which the compiler finds fault.
pub fn functions(refusal: &Refusal) -> BTreeSet<String> {
    IN_FUNCTION.captures_iter(&refusal.reason).map(|c| c[1].to_string()).collect()
}

/// The header that is included and not there.
pub fn absent(refusal: &Refusal) -> Option<String> {
    refusal.reason.lines().find_map(|line| Some(ABSENT.captures(line)?[1].to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_out_of_the_lines_that_gcc_shows() {
        let of = |reason: &str| {
            let refusal = Refusal::new("does-not-compile", "", "b.c", reason.into(), "");
            suspect([&refusal]).into_iter().collect::<Vec<_>>()
        };
        let void = "error: void value not ignored as it ought to be\n  185 | ret = copy_fw(psp, size_of(x));";
        assert_eq!(of(&format!("    b.c:185:13: {void}")), ["copy_fw"]);
        let pointer = "error: passing argument 2 of 'queue' from incompatible pointer type [-Werror=x]";
        assert_eq!(of(&format!("b.c:9: {pointer}\n   19 | &wdev->wk.work);")), ["wk", "work"]);
        assert_eq!(of(&format!("b.c:9: {pointer}\nIn file included from b.h")), [""; 0]);
        assert_eq!(of("b.c:9: note: from incompatible pointer type\n   19 | &wdev->wk.work);"), [""; 0]);
    }

    #[test]
    fn names_out_of_gcc_s_words() {
        let reason = "The compiler says:\n    b.c: In function 'do_it':\n    b.c:3:4: error: 'struct x' has no member named 'fresh'\n    b.c:1: note: 'helper'\n    b.c:7: error: 'x->ops.one->call' differs\n    b.c:8: error: 'return' with a value";
        let refusal = Refusal::new("does-not-compile", "", "b.c", reason.into(), "");
        let other = Refusal::new("data-changed", "", "b.c", "error: 'no'".into(), "");
        let all: Vec<String> = missing([&refusal, &other]).into_iter().collect();
        assert_eq!(all, ["call", "fresh"]);
        assert_eq!(functions(&refusal).into_iter().collect::<Vec<_>>(), ["do_it"]);
        assert_eq!(absent(&refusal), None);
        let gone = Refusal::new("does-not-compile", "", "b.c", "b.c:1: fatal error: a/b.h: No such file".into(), "");
        assert_eq!(absent(&gone).as_deref(), Some("a/b.h"));
    }
}
