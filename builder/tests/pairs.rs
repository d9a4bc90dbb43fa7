// SPDX-License-Identifier: GPL-2.0-or-later
//! The diff engine on real objects: each file in `pairs/` is compiled twice for each architecture, without and with
//! `-DPATCHED`, and the two objects are compared as `kmend-build diff` does it. The comments in the file say what has
//! to come out; `BLESS=1 cargo test -p kmend-builder --test pairs` writes what did come out there instead.
//!
//! | comment | meaning |
//! |---|---|
//! | `//#Arch: x86_64, because` | the pair is for one architecture only |
//! | `//#Flags: -g0` | further flags for the compiler, behind those of `pairs/machine.rs` |
//! | `//#Layout: jump_entry=16` | sizes, as `--layout` takes them |
//! | `//#Allow: cell` | a type whose layout may change, as `--allow-layout` takes it |
//! | `//#Strip: --strip-debug` | strip is run over both objects |
//! | `//#Expect: changed NAME`, `new NAME` | a function that the live patch carries |
//! | `//#Data: new NAME` | a datum that it carries |
//! | `//#Kernel: NAME` | something of the unit itself that it refers to in the running kernel |
//! | `//#Callback: KIND NAME` | a function to be called when the live patch is applied or taken back |
//! | `//#Special: SECTION N` | so many special section entries go along; `ftrace` is the list of places for ftrace |
//! | `//#Refuse: CODE NAME` | a refusal, with its symbol or else its section |
//! | `//#Warn: CODE NAME` | a warning |
//! | `//#Nothing` | nothing changed |
//! | `//#NotShown: NAME` | code or data of the extract of which the second reader (`audit/`) cannot show that it is right |
//!
//! Each may be for one architecture, `//#Special[ppc64le]: __ftr_fixup 1`, or for one code model of it, `//#Nothing[ppc64le large]`.
//! Numbers that the compiler adds to names (`count.3`, `inner.isra.0`) are left out.

#[path = "pairs/machine.rs"]
mod machine;
#[path = "pairs/reader.rs"]
mod reader;

use kmend_builder::cli::diff::{compare, Outcome};
use kmend_builder::diff::names;
use kmend_builder::elf::read::{read, Take};
use kmend_builder::elf::write::write;
use kmend_builder::elf::{Object, SymKind};
use kmend_builder::extract::Origin;
use kmend_builder::special::row_of;
use libtest_mimic::{Arguments, Failed, Trial};
use machine::{Machine, MACHINES};
use reader::Reader;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pairs");
    let mut sources: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("tests/pairs is there")
        .map(|entry| entry.expect("tests/pairs can be read").path())
        .filter(|path| path.extension().is_some_and(|end| end == "c"))
        .collect();
    sources.sort();
    assert!(!sources.is_empty(), "no pairs in {}", folder.display());
    let bless = std::env::var_os("BLESS").is_some_and(|v| v == "1");
    let mut trials = Vec::new();
    for source in sources {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&source).expect("a pair can be read");
        let machines: Vec<&Machine> = MACHINES.iter().filter(|m| is_for(&text, m.name)).collect();
        assert!(!machines.is_empty(), "{name}: for no architecture");
        if bless {
            trials.push(Trial::test(name, move || rewrite(&source, &text, &machines).map_err(Failed::from)));
            continue;
        }
        for machine in machines {
            let (source, text) = (source.clone(), text.clone());
            let trial = move || check(&source, &text, machine).map_err(Failed::from);
            trials.push(Trial::test(format!("{name}/{}", machine.name), trial));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn is_for(text: &str, machine: &str) -> bool {
    let named = text.lines().find_map(|line| line.strip_prefix("//#Arch:"));
    named.is_none_or(|rest| rest.split(',').next().is_some_and(|name| name.trim() == machine))
}

fn check(source: &Path, text: &str, machine: &Machine) -> Result<(), String> {
    for model in machine.models {
        let tags = tags(machine, model);
        let mut expected: Vec<String> = comments(text, &tags).filter(|line| is_expectation(line)).collect();
        expected.sort();
        let (outcome, mut seen) = outcome(source, text, machine, model)?;
        seen.sort();
        if expected != seen {
            let list = |lines: &[String], others: &[String]| {
                lines
                    .iter()
                    .map(|l| format!("{} {l}\n", if others.contains(l) { " " } else { "!" }))
                    .collect::<String>()
            };
            let why = serde_json::to_string_pretty(&outcome.report).map_err(|e| e.to_string())?;
            let (expected, seen) = (list(&expected, &seen), list(&seen, &expected));
            return Err(format!("{} {model}\nexpected:\n{expected}seen:\n{seen}{why}", machine.name));
        }
    }
    Ok(())
}

/// What comes out of a pair, also in the words of the comments.
fn outcome(source: &Path, text: &str, machine: &Machine, model: &str) -> Result<(Outcome, Vec<String>), String> {
    let folder = tempfile::tempdir().map_err(|e| format!("temporary folder: {e}"))?;
    let tags = tags(machine, model);
    let values = |key: &'static str| {
        comments(text, &tags).filter_map(move |line| Some(line.strip_prefix(key)?.trim().to_string()))
    };
    let given: Vec<String> = values("//#Flags:").collect();
    let given = given.iter().flat_map(|flags| flags.split_whitespace());
    let given: Vec<&str> = model.split_whitespace().chain(given).collect();
    let compile = |name: &str, define: &[&'static str]| -> Result<PathBuf, String> {
        let object = folder.path().join(name);
        let flags = [&given, define].concat();
        machine.compile(source, &flags, &object)?;
        for flags in values("//#Strip:") {
            machine.strip(&flags, &object)?;
        }
        Ok(object)
    };
    let (original, patched) = (compile("original.o", &[])?, compile("patched.o", &["-DPATCHED"])?);
    let allowed: BTreeSet<String> = values("//#Allow:").collect();
    let layout: Vec<String> = values("//#Layout:").collect();
    let layout = (!layout.is_empty()).then(|| layout.join(","));
    let outcome = compare(&original, &patched, layout.as_deref(), &allowed).map_err(|e| format!("{model}: {e:#}"))?;
    if let Some(extract) = &outcome.extract {
        sound(&extract.object, &patched, machine, &given).map_err(|e| format!("{model}: {e}"))?;
    }
    let mut facts = facts(&outcome, machine);
    if let Some(extract) = &outcome.extract {
        let reader = Reader::new(&original, &patched, layout.as_deref()).map_err(|e| format!("{model}: {e}"))?;
        let refusals = match reader.read(extract, &extract.object) {
            Ok(shown) if shown.shown == shown.references => Vec::new(),
            Ok(shown) => return Err(format!("{model}: not all is shown, and nothing said: {shown:?}")),
            Err(refusals) => refusals,
        };
        let verbose = std::env::var_os("KMEND_PAIRS_VERBOSE").is_some();
        refusals
            .iter()
            .filter(|_| verbose)
            .for_each(|r| eprintln!("{} {} {model}: {r}", source.display(), machine.name));
        facts.extend(refusals.iter().map(|r| format!("//#NotShown: {}", plain(&r.symbol))));
    }
    Ok((outcome, facts))
}

/// What is written can be read again, a linker takes it, functions are entered where they were, and the module loader
/// finds its sections.
fn sound(object: &Object, patched: &Path, machine: &Machine, flags: &[&str]) -> Result<(), String> {
    let bytes = write(object).map_err(|e| format!("the extracted object: {e:#}"))?;
    let again = read(&bytes, Take::All).map_err(|e| format!("the extracted object: {e:#}"))?;
    let relocs = |o: &Object| o.sections.iter().map(|s| s.relocs.len()).sum::<usize>();
    if relocs(&again) != relocs(object) {
        return Err(format!("{} relocations were written, {} read", relocs(object), relocs(&again)));
    }
    if let Some(lost) = again.sections.iter().find(|s| row_of(&s.name).is_some_and(|row| row.goes_as.is_some())) {
        return Err(format!("no module loader finds {}", lost.name));
    }
    let tables = ["__ksymtab", "___ksymtab", "__kstrtab", ".export_symbol", ".modinfo"];
    if let Some(copied) = again.sections.iter().find(|s| tables.iter().any(|table| s.name.starts_with(table))) {
        return Err(format!("{} of the unit is in the module", copied.name));
    }
    let source = std::fs::read(patched).map_err(|e| format!("{}: {e}", patched.display()))?;
    let source = read(&source, Take::NoDebug).map_err(|e| format!("{e:#}"))?;
    for symbol in again.symbols.iter().filter(|s| s.kind == SymKind::Func && s.section().is_some()) {
        let before = source.symbols.iter().find(|s| s.name == symbol.name && s.kind == SymKind::Func);
        if let Some(before) = before.filter(|before| before.other != symbol.other) {
            return Err(format!("{}: st_other was {:#x} and is {:#x}", symbol.name, before.other, symbol.other));
        }
    }
    let path = patched.with_file_name("extract.o");
    std::fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    machine.link(&path, flags).map(drop)
}

/// What the comments for a machine may be marked with: its name, and that with the code model.
fn tags(machine: &Machine, model: &str) -> [String; 2] {
    [machine.name.into(), format!("{} {}", machine.name, model.trim_start_matches("-mcmodel="))]
}

/// The comments with one of these marks or with none, without the mark.
fn comments<'t>(text: &'t str, tags: &'t [String]) -> impl Iterator<Item = String> + 't {
    text.lines().filter(|line| line.starts_with("//#")).filter_map(move |line| {
        let line = line.trim_end();
        match line.split_once('[').zip(line.split_once(']')) {
            Some(((key, _), (named, rest))) if key.len() < line.find(':').unwrap_or(line.len()) => {
                let tag = &named[key.len() + 1..];
                tags.iter().any(|t| t == tag).then(|| format!("{key}{rest}"))
            }
            _ => Some(line.to_string()),
        }
    })
}

fn is_expectation(line: &str) -> bool {
    let keys = ["Expect", "Data", "Kernel", "Callback", "Special", "Refuse", "Warn", "NotShown", "Nothing"];
    line.strip_prefix("//#").is_some_and(|rest| keys.iter().any(|key| rest.starts_with(key)))
}

/// What came out, in the words of the comments.
fn facts(outcome: &Outcome, machine: &Machine) -> Vec<String> {
    let mut facts = Vec::new();
    if outcome.is_nothing() {
        facts.push("//#Nothing".into());
    }
    for refusal in &outcome.report.refusals {
        let about = if refusal.symbol.is_empty() { &refusal.section } else { &refusal.symbol };
        facts.push(format!("//#Refuse: {} {}", refusal.code, plain(about)));
    }
    for warning in &outcome.report.warnings {
        facts.push(format!("//#Warn: {} {}", warning.code, plain(&warning.symbol)));
    }
    let Some(extract) = &outcome.extract else { return facts };
    for function in &outcome.report.functions {
        facts.push(format!("//#Expect: {} {}", function.status, plain(&function.name)));
    }
    for datum in &extract.data {
        facts.push(format!("//#Data: new {}", plain(datum)));
    }
    for callback in &extract.callbacks {
        facts.push(format!("//#Callback: {} {}", callback.kind.name(), plain(&callback.function)));
    }
    for external in &extract.externals {
        if let Origin::Unit { name, .. } | Origin::Running { name } = &external.origin {
            facts.push(format!("//#Kernel: {}", plain(name)));
        }
    }
    for (section, n) in &extract.special {
        let section = if section == machine.ftrace { "ftrace" } else { section };
        facts.push(format!("//#Special: {section} {n}"));
    }
    facts
}

/// A name without the numbers that compilers add.
fn plain(name: &str) -> String {
    let name = names::without_clone_number(name);
    names::without_number(&name).unwrap_or(&name).to_string()
}

/// Writes what came out into the source, in the place of what was expected.
fn rewrite(source: &Path, text: &str, machines: &[&Machine]) -> Result<(), String> {
    let all: Vec<(&Machine, &str)> = machines.iter().flat_map(|m| m.models.iter().map(|model| (*m, *model))).collect();
    // Each fact, and in which of them it holds.
    let mut facts: Vec<(String, Vec<usize>)> = Vec::new();
    for (n, (machine, model)) in all.iter().enumerate() {
        let (_, seen) = outcome(source, text, machine, model)?;
        // The same fact may hold twice (two new data of one name).
        let mut used = vec![false; facts.len()];
        for fact in seen {
            match (0..used.len()).find(|&i| !used[i] && facts[i].0 == fact) {
                Some(i) => {
                    used[i] = true;
                    facts[i].1.push(n);
                }
                None => {
                    facts.push((fact, vec![n]));
                    used.push(true);
                }
            }
        }
    }
    let lines = facts.into_iter().flat_map(|(fact, holds)| {
        let mut marks = Vec::new();
        for machine in machines {
            let of = |n: &usize| all[*n].0.name == machine.name;
            let here: Vec<usize> = holds.iter().copied().filter(of).collect();
            match here.len() == machine.models.len() {
                true => marks.push(machine.name.to_string()),
                false => marks.extend(here.iter().map(|&n| tags(machine, all[n].1)[1].clone())),
            }
        }
        let everywhere = holds.len() == all.len();
        let marked = move |mark: String| match fact.split_once(':') {
            _ if everywhere => fact.clone(),
            Some((key, rest)) => format!("{key}[{mark}]:{rest}"),
            None => format!("{fact}[{mark}]"),
        };
        marks.truncate(if everywhere { 1 } else { marks.len() });
        marks.into_iter().map(marked).collect::<Vec<_>>()
    });
    let lines: Vec<String> = lines.collect();
    std::fs::write(source, blessed(text, &lines)).map_err(|e| format!("{}: {e}", source.display()))
}

/// The source with its expectations replaced; new ones are where the first old one was.
fn blessed(text: &str, facts: &[String]) -> String {
    let mut out = String::new();
    let mut written = false;
    for line in text.lines() {
        let first_code = line.starts_with("#include");
        if (is_expectation(line) || first_code) && !written {
            facts.iter().for_each(|fact| out.push_str(&format!("{fact}\n")));
            written = true;
        }
        if !is_expectation(line) {
            out.push_str(&format!("{line}\n"));
        }
    }
    out
}
