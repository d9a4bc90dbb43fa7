// SPDX-License-Identifier: GPL-2.0-or-later
//! The diff engine on real objects: each file in `pairs/` is compiled twice, without and with `-DPATCHED`,
//! and the two objects are compared as `kmend-build diff` does it. The comments in the file say what has to
//! come out; `BLESS=1 cargo test -p kmend-builder --test pairs` writes what did come out there instead.
//!
//! | comment | meaning |
//! |---|---|
//! | `//#Flags: -g0` | further flags for the compiler, behind those below |
//! | `//#Layout: jump_entry=16` | sizes, as `--layout` takes them |
//! | `//#Strip: --strip-debug` | strip is run over both objects |
//! | `//#Expect: changed NAME`, `new NAME` | a function that the live patch carries |
//! | `//#Data: new NAME` | a datum that it carries |
//! | `//#Kernel: NAME` | something of the unit itself that it refers to in the running kernel |
//! | `//#Special: SECTION N` | so many special section entries go along |
//! | `//#Refuse: CODE NAME` | a refusal, with its symbol or else its section |
//! | `//#Nothing` | nothing changed |
//!
//! Numbers that the compiler adds to names (`count.3`, `inner.isra.0`) are left out.

use kmend_builder::cli::diff::{compare, Outcome};
use kmend_builder::diff::names;
use kmend_builder::elf::read::{read, Take};
use kmend_builder::elf::write::write;
use kmend_builder::extract::Origin;
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// As the kernel's own Makefile has them, with a section for each function and datum.
const FLAGS: &str = "-c -g -O2 -std=gnu11 -ffreestanding -nostdinc -fno-strict-aliasing -fno-common -fno-pic -fno-pie \
     -mcmodel=kernel -mno-red-zone -mno-sse -mno-mmx -mno-80387 -fno-stack-protector -fno-asynchronous-unwind-tables \
     -fno-jump-tables -falign-functions=16 -fcf-protection=branch -pg -mfentry -mrecord-mcount \
     -ffunction-sections -fdata-sections -fno-eliminate-unused-debug-types -Wall -Wno-unused";

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
    let trials = sources
        .into_iter()
        .map(|source| Trial::test(name_of(&source), move || check(&source).map_err(Failed::from)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn name_of(source: &Path) -> String {
    source.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn check(source: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(source).map_err(|e| format!("{}: {e}", source.display()))?;
    let folder = tempfile::tempdir().map_err(|e| format!("temporary folder: {e}"))?;
    let compile = |name: &str, define: Option<&str>| -> Result<PathBuf, String> {
        let object = folder.path().join(name);
        run(compiler()?
            .current_dir(source.parent().unwrap_or(Path::new(".")))
            .args(FLAGS.split_whitespace())
            .args(values(&text, "Flags").flat_map(str::split_whitespace))
            .args(define)
            .arg("-o")
            .arg(&object)
            .args(source.file_name()))?;
        for flags in values(&text, "Strip") {
            run(Command::new("strip").args(flags.split_whitespace()).arg(&object))?;
        }
        Ok(object)
    };
    let (original, patched) = (compile("original.o", None)?, compile("patched.o", Some("-DPATCHED"))?);
    let layout: Vec<&str> = values(&text, "Layout").collect();
    let layout = (!layout.is_empty()).then(|| layout.join(","));
    let outcome = compare(&original, &patched, layout.as_deref()).map_err(|e| format!("{e:#}"))?;
    if let Some(extract) = &outcome.extract {
        sound(&extract.object, folder.path())?;
    }

    let facts = facts(&outcome);
    if std::env::var_os("BLESS").is_some_and(|v| v == "1") {
        return std::fs::write(source, blessed(&text, &facts)).map_err(|e| format!("{}: {e}", source.display()));
    }
    let mut expected: Vec<String> = text.lines().filter(|l| is_expectation(l)).map(|l| l.trim().into()).collect();
    let mut seen = facts.clone();
    expected.sort();
    seen.sort();
    if expected == seen {
        return Ok(());
    }
    let list = |lines: &[String], others: &[String]| {
        lines.iter().map(|l| format!("{} {l}\n", if others.contains(l) { " " } else { "!" })).collect::<String>()
    };
    let why = serde_json::to_string_pretty(&outcome.report).map_err(|e| e.to_string())?;
    Err(format!("expected:\n{}seen:\n{}{why}", list(&expected, &seen), list(&seen, &expected)))
}

/// The machine's C compiler for x86_64.
fn compiler() -> Result<Command, String> {
    cc::Build::new()
        .cargo_metadata(false)
        .no_default_flags(true)
        .target("x86_64-unknown-linux-gnu")
        .host(if cfg!(target_arch = "x86_64") { "x86_64-unknown-linux-gnu" } else { "powerpc64le-unknown-linux-gnu" })
        .opt_level(2)
        .try_get_compiler()
        .map(|tool| Command::new(tool.path()))
        .map_err(|e| format!("no C compiler for x86_64: {e}"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// What is written can be read again, and a linker takes it.
fn sound(object: &kmend_builder::elf::Object, folder: &Path) -> Result<(), String> {
    let bytes = write(object).map_err(|e| format!("the extracted object: {e:#}"))?;
    let again = read(&bytes, Take::All).map_err(|e| format!("the extracted object: {e:#}"))?;
    let relocs = |o: &kmend_builder::elf::Object| o.sections.iter().map(|s| s.relocs.len()).sum::<usize>();
    if relocs(&again) != relocs(object) {
        return Err(format!("{} relocations were written, {} read", relocs(object), relocs(&again)));
    }
    let path = folder.join("extract.o");
    std::fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    run(Command::new("ld").args(["-m", "elf_x86_64", "-r", "-o"]).arg(folder.join("linked.o")).arg(&path))
}

fn values<'t>(text: &'t str, key: &'t str) -> impl Iterator<Item = &'t str> + 't {
    text.lines()
        .filter_map(move |line| Some(line.trim().strip_prefix("//#")?.strip_prefix(key)?.strip_prefix(':')?.trim()))
}

fn is_expectation(line: &str) -> bool {
    ["Expect:", "Data:", "Kernel:", "Special:", "Refuse:", "Nothing"]
        .iter()
        .any(|key| line.trim().strip_prefix("//#").is_some_and(|rest| rest.starts_with(key)))
}

/// What came out, in the words of the comments.
fn facts(outcome: &Outcome) -> Vec<String> {
    let mut facts = Vec::new();
    if outcome.is_nothing() {
        facts.push("//#Nothing".into());
    }
    for refusal in &outcome.report.refusals {
        let about = if refusal.symbol.is_empty() { &refusal.section } else { &refusal.symbol };
        facts.push(format!("//#Refuse: {} {}", refusal.code, plain(about)));
    }
    let Some(extract) = &outcome.extract else { return facts };
    for function in &outcome.report.functions {
        facts.push(format!("//#Expect: {} {}", function.status, plain(&function.name)));
    }
    for datum in &extract.data {
        facts.push(format!("//#Data: new {}", plain(datum)));
    }
    for external in &extract.externals {
        if let Origin::Unit { name, .. } = &external.origin {
            facts.push(format!("//#Kernel: {}", plain(name)));
        }
    }
    for (section, n) in &extract.special {
        facts.push(format!("//#Special: {section} {n}"));
    }
    facts
}

/// A name without the numbers that compilers add.
fn plain(name: &str) -> String {
    let name = names::without_clone_number(name);
    names::without_number(&name).unwrap_or(&name).to_string()
}

/// The source with its expectations replaced; new ones stand where the first old one stood.
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
