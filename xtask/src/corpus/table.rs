// SPDX-License-Identifier: GPL-2.0-or-later
//! docs/corpus.md: records in, one section per series out; the sections of other series stay as they are.

use super::cumulative::Cumulative;
use super::guest::Loaded;
use super::pair::Pair;
use super::record::{Outcome, Record};
use std::collections::BTreeMap;

/// Codes of refusals for what is no code that a live patch could replace: data, code that has run, files that are built
/// otherwise. All others count against kmend in the share of fixes that change only code.
const NOT_CODE: &[(&str, &str)] = &[
    ("data-changed", "changes the value, the size or the place of data"),
    ("data-type", "changes what a variable points to"),
    ("overridden", "changes a definition that does not run"),
    ("init-function", "changes code that has run"),
    ("init-data", "adds data that is read at start"),
    ("refers-to-init", "uses code that is gone"),
    ("export-added", "exports what is exported elsewhere"),
    ("export-changed", "changes an export"),
    ("new-file", "adds a file"),
    ("not-built", "is not built"),
    ("not-kernel-code", "runs before the kernel or in user space"),
    ("struct-layout", "changes the layout of a struct"),
    ("kernel-table", "adds a record that the kernel reads once"),
    ("deleted-file", "deletes a file"),
    ("assembler-file", "is written in assembler"),
];

/// What no live patch can replace.
const UNTRACED: &str = "no-ftrace-site";
/// What is no fix by itself in a run of the corpus: it needs more files, or more time.
const FAR: [&str; 2] = ["does-not-compile", "reaches-too-many"];

/// The head of the document.
const HEAD: &str = "# A corpus of real fixes

`cargo xtask corpus` takes two releases of a stable series, each changed C file or header as one fix, and runs the
builder on each, for the distribution's own kernel of the older release. It writes this page; `cargo xtask corpus SERIES`
renews one part. Each fix ends in one of these ways:

* **patchable**: a module was built, every function that it replaces is in the shipped kernel byte for byte, and the
  finished module passed `verify`;
* **unchanged**: the fix compiles to the same code with this kernel's config;
* **refused**: by name; the codes are explained in [authors.md](authors.md);
* **failed**: an error instead of a reason, which is a fault in kmend.

Of a header that many units include, fewer are looked at here than `kmend-build build` would: that takes many minutes on a
small machine. Such fixes count as refused (`reaches-too-many`); each part says how far it goes.

A release is not cut into its fixes: a file that does not compile alone is tried again together with what it needs of
others: the lines that have the missing names in them or the hunks around these, or the whole file where that does not do. A fix is said to change
only code when none of its refusals is about data, about code that has run or about a file that is no part of this kernel or
not C (`data-changed`, `data-type`, `overridden`, `init-function`, `init-data`, `refers-to-init`, `export-added`,
`export-changed`, `kernel-table`, `struct-layout`, `new-file`, `deleted-file`, `not-built`, `not-kernel-code`, `assembler-file`).
";

/// What a section is made of.
pub struct Section<'a> {
    /// The two releases.
    pub pair: &'a Pair,
    /// The older one's kernel: `6.1.0-50-amd64`.
    pub release: &'a str,
    /// The day, as `date +%F` has it.
    pub date: &'a str,
    /// How many files differ, and how many of them are not in this kernel.
    pub differ: (usize, usize),
    /// What became of the fixes.
    pub records: &'a [Record],
    /// How many of them are from earlier states of the builder.
    pub earlier: usize,
    /// Seconds that the run took; None where it was not done in one go.
    pub wall: Option<f32>,
    /// What a guest reported about some of the modules.
    pub loaded: Option<&'a Loaded>,
    /// The module that carries all of them.
    pub cumulative: Option<&'a Cumulative>,
}

/// The counts that are asked for most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeOnly {
    /// Fixes that change only code.
    pub fixes: usize,
    /// Those of them that are patchable.
    pub patchable: usize,
    /// Those that change a function which the kernel does not let ftrace redirect.
    pub untraced: usize,
    /// Those of the rest that need more files, or reach more units, than are tried here.
    pub far: usize,
}

/// Whether it was refused for what more files or more time may mend.
fn is_far(record: &Record) -> bool {
    FAR.iter().any(|code| record.codes().contains(code))
}

/// How many fixes change only code, and how many of them are patchable. Those that compile to the same code change none.
pub fn code_only(records: &[Record]) -> CodeOnly {
    let is_code = |r: &&Record| match r.outcome {
        Outcome::Patchable | Outcome::Failed | Outcome::Crashed => true,
        Outcome::Unchanged => false,
        Outcome::Refused => !r.codes().iter().any(|code| NOT_CODE.iter().any(|(c, _)| c == code)),
    };
    let fixes: Vec<&Record> = records.iter().filter(is_code).collect();
    let with = |r: &&&Record, code: &str| r.codes().contains(code);
    CodeOnly {
        fixes: fixes.len(),
        patchable: fixes.iter().filter(|r| r.outcome == Outcome::Patchable).count(),
        untraced: fixes.iter().filter(|r| with(r, UNTRACED)).count(),
        far: fixes.iter().filter(|r| is_far(r) && !with(r, UNTRACED)).count(),
    }
}

/// `document` with `section` instead of the one of the same series, or after the others.
pub fn put(document: &str, series: &str, section: &str) -> String {
    let body = document.find("\n## ").map_or("", |at| &document[at + 1..]);
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    for part in body.split("\n## ").map(|p| p.strip_prefix("## ").unwrap_or(p)).filter(|p| !p.trim().is_empty()) {
        let name = part.split([':', '\n']).next().unwrap_or_default();
        sections.insert(name.into(), format!("## {}\n", part.trim_end()));
    }
    sections.insert(series.into(), section.into());
    // The newest series first.
    let order = |name: &String| -> Vec<u32> { name.split('.').map(|n| n.parse().unwrap_or(0)).collect() };
    let mut sorted: Vec<(String, String)> = sections.into_iter().collect();
    sorted.sort_by_key(|(name, _)| std::cmp::Reverse(order(name)));
    sorted.into_iter().fold(HEAD.to_string(), |text, (_, section)| text + "\n" + &section)
}

/// The text of a section.
pub fn section(s: &Section) -> String {
    let Section { pair, records, .. } = s;
    let mut text = format!(
        "## {}: {} {} to {}\n\nKernel {} ({}), {}. {} C files and headers differ, {} of them not in this kernel.",
        pair.series, pair.package, pair.from, pair.to.1, s.release, pair.target, s.date, s.differ.0, s.differ.1
    );
    let rest = s.differ.0 - s.differ.1;
    text += &match records.len() == rest {
        true => format!(" The other {rest} were all tried.\n\n"),
        false => format!(" Of the other {rest}, {} were drawn by chance.\n\n", records.len()),
    };
    text += &format!(
        "A fix may reach {} units (`build` lets 200 pass), and is tried with up to {} files together.\n\n",
        pair.reach, pair.together
    );
    if s.earlier > 0 {
        text += &format!("{} of the answers are those of earlier states of the builder.\n\n", s.earlier);
    }
    text += "| outcome | fixes | share |\n|---|---:|---:|\n";
    for (outcome, name) in [
        (Outcome::Patchable, "patchable, proven"),
        (Outcome::Unchanged, "unchanged"),
        (Outcome::Refused, "refused"),
        (Outcome::Failed, "failed"),
        (Outcome::Crashed, "crashed"),
    ] {
        let n = records.iter().filter(|r| r.outcome == outcome).count();
        text += &format!("| {name} | {n} | {} |\n", percent(n, records.len()));
    }
    let code = code_only(records);
    let CodeOnly { fixes: all, patchable: n, untraced, far } = code;
    text += &format!("\nOf the {all} fixes that change only code, {n} are patchable: **{}**.", percent(n, all));
    let rest = all - untraced - far;
    text += &format!(
        " {untraced} others change functions that the kernel does not let ftrace redirect (`{UNTRACED}`; `kernel/trace/` is \
         all of that kind), and {far} are no fix by themselves in this run: they do not compile without more files (`{}`), \
         or change a header that many units include (`{}`). Of the {rest} that are left, {n} are patchable: **{}**.",
        FAR[0],
        FAR[1],
        percent(n, rest)
    );
    let replaced: usize = records.iter().map(|r| r.replaces.len()).sum();
    let with = records.iter().filter(|r| r.outcome == Outcome::Patchable && !r.with.is_empty()).count();
    text += &format!(" The modules replace {replaced} functions; {with} of them need other files.\n");
    text += &times(s);
    text += &codes(records);
    text += &specials(records);
    text += &s.loaded.map(Loaded::text).unwrap_or_default();
    text += &s.cumulative.map(Cumulative::text).unwrap_or_default();
    text += &refused(records);
    text
}

fn percent(n: usize, of: usize) -> String {
    if of == 0 {
        return "-".into();
    }
    format!("{:.1} %", 100.0 * n as f32 / of as f32)
}

fn times(s: &Section) -> String {
    let of_c = |r: &&Record| r.path.ends_with(".c") && r.with.is_empty();
    let (all, c): (Vec<&Record>, Vec<&Record>) = (s.records.iter().collect(), s.records.iter().filter(of_c).collect());
    let stage = |records: &[&Record], name: &str| records.iter().filter_map(|r| r.steps.get(name)).sum::<f32>();
    let total = |records: &[&Record]| records.iter().map(|r| r.seconds).sum::<f32>();
    let compiling = stage(&all, "compiling");
    if compiling == 0.0 {
        return String::new();
    }
    let wall = s.wall.map(|w| format!(", {w:.0} s by the clock")).unwrap_or_default();
    let preprocessing = stage(&all, "preprocessing");
    format!(
        "\nTime: {:.0} s in all{wall}; compiling {compiling:.0} s, preprocessing units that include a changed header \
         {preprocessing:.0} s, linking {:.0} s, reading the image {:.0} s, proving {:.0} s. A fix to one C file takes {:.2} \
         times its compile time. All together is {:.2} times the compile time, and {:.2} times what the compiler takes with \
         the preprocessing.\n",
        total(&all),
        stage(&all, "linking"),
        stage(&all, "reading"),
        stage(&all, "proving"),
        total(&c) / stage(&c, "compiling").max(0.1),
        total(&all) / compiling,
        total(&all) / (compiling + preprocessing)
    )
}

fn codes(records: &[Record]) -> String {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for r in records {
        let codes = r.codes();
        for code in &codes {
            let (any, alone) = counts.entry(code).or_default();
            *any += 1;
            *alone += usize::from(codes.len() == 1);
        }
    }
    if counts.is_empty() {
        return String::new();
    }
    let mut rows: Vec<(&str, (usize, usize))> = counts.into_iter().collect();
    rows.sort_by_key(|(code, (any, _))| (std::cmp::Reverse(*any), *code));
    let rows = rows.into_iter().map(|(code, (any, alone))| format!("| `{code}` | {any} | {alone} |\n"));
    format!("\n| refused with | fixes | with nothing else |\n|---|---:|---:|\n{}", rows.collect::<String>())
}

fn specials(records: &[Record]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    records.iter().flat_map(|r| &r.special).for_each(|s| *counts.entry(s).or_default() += 1);
    if counts.is_empty() {
        return String::new();
    }
    let all: Vec<String> = counts.into_iter().map(|(name, n)| format!("`{name}` ({n})")).collect();
    format!("\nSpecial sections in the modules: {}.\n", all.join(", "))
}

fn refused(records: &[Record]) -> String {
    let mut text = String::new();
    let mut sorted: Vec<&Record> =
        records.iter().filter(|r| !matches!(r.outcome, Outcome::Patchable | Outcome::Unchanged)).collect();
    sorted.sort_by_key(|r| &r.path);
    for r in sorted {
        let why = match r.outcome {
            Outcome::Refused => {
                let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
                r.refusals.iter().for_each(|f| reasons.entry(&f.code).or_default().push(&f.symbol));
                let each = reasons.into_iter().map(|(code, mut symbols)| {
                    symbols.retain(|s| !s.is_empty());
                    symbols.dedup();
                    let shown: Vec<&str> = symbols.iter().take(3).copied().collect();
                    let more = symbols.len() - shown.len();
                    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                    match shown.is_empty() {
                        true => format!("`{code}`"),
                        false => format!("`{code}` {}{more}", shown.join(", ")),
                    }
                });
                each.collect::<Vec<_>>().join("; ")
            }
            _ => format!("**{:?}**: {}", r.outcome, r.error.lines().next().unwrap_or_default()),
        };
        let with = if r.with.is_empty() { String::new() } else { format!(" (with {} other files)", r.with.files()) };
        text += &format!("* {}{with}: {why}\n", r.path);
    }
    if text.is_empty() {
        return text;
    }
    format!("\n### {} fixes that are refused\n\n{text}", text.lines().count())
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;
    use kmend_builder::error::Refusal;

    fn refused(code: &str) -> Record {
        let refusals = vec![Refusal::new(code, "f", "a.c", "why".into(), "")];
        Record { refusals, ..record(code, Outcome::Refused) }
    }

    #[test]
    fn data_does_not_count_among_code() {
        let records = [
            record("a.c", Outcome::Patchable),
            record("b.c", Outcome::Unchanged),
            refused("data-changed"),
            refused("unproven"),
        ];
        assert_eq!(code_only(&records), CodeOnly { fixes: 2, patchable: 1, untraced: 0, far: 0 });
        let more = [refused("no-ftrace-site"), refused("reaches-too-many"), record("a.c", Outcome::Patchable)];
        assert_eq!(code_only(&more), CodeOnly { fixes: 3, patchable: 1, untraced: 1, far: 1 });
    }

    #[test]
    fn a_section_takes_the_place_of_its_own() {
        let one = put("", "6.1", "## 6.1: a\n\nfirst\n");
        let two = put(&one, "7.2", "## 7.2: b\n\nsecond\n\n### more\n\n* x\n");
        let three = put(&two, "6.1", "## 6.1: a\n\nthird\n");
        assert!(three.starts_with("# A corpus") && three.contains("second") && three.contains("* x\n"));
        assert!(three.contains("third") && !three.contains("first"));
        assert!(three.find("## 7.2") < three.find("## 6.1"), "the newest first");
        assert_eq!(three.matches("\n## ").count(), 2);
        assert_eq!(put(&three, "6.1", "## 6.1: a\n\nthird\n"), three);
    }
}
