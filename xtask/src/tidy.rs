// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules of this repository that no other tool knows: its files in, the lines that break a rule out.

use crate::layers::Layers;
use crate::samples::Samples;
use crate::{home, say};
use anyhow::{bail, Context, Result};
use kmend_builder::files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most lines of a Rust file: past that it is two.
const LONGEST: usize = 700;

/// Folders of the repository that hold nothing of ours: cargo's output, and that of builder/fuzz.
const FOREIGN: &[&str] = &[".git", "target", "builder/fuzz/target"];

/// Files that may name machines, beside those in builder/src/arch/.
const ARCH_FILES: &[&str] = &["builder/src/arch.rs", "manager/src/arch.rs"];

/// What the second reader (builder/src/audit/) must not use: the stages whose choices it checks.
const CHOOSERS: &[&str] = &["diff", "extract", "resolve"];

/// Checks every file.
pub fn run(_args: &[String]) -> Result<()> {
    let home = home()?;
    let layers = Layers::read(&files::read_text(&home.join("ARCHITECTURE.md"))?)?;
    let samples = Samples::new(&files::read_text(&home.join("Makefile"))?);
    let mut faults = Vec::new();
    let mut count = 0;
    for (name, path) in walk(&home)? {
        if let Ok(text) = String::from_utf8(files::read(&path)?) {
            count += 1;
            faults.extend(check(&name, &text));
            faults.extend(layers.check(&name, &text));
            faults.extend(samples.check(&name, &text));
        }
    }
    if faults.is_empty() {
        println!("{}", say::toned(say::Tone::Good, &format!("{count} files are tidy")));
        return Ok(());
    }
    faults.iter().for_each(|f| println!("{f}"));
    bail!("{} places are not", faults.len())
}

/// The files of the repository in `home`, each with its name in it.
fn walk(home: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    collect(home, home, &mut found)?;
    Ok(found)
}

fn collect(home: &Path, dir: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", dir.display()))?;
        let kind = entry.file_type().with_context(|| format!("cannot look at {}", entry.path().display()))?;
        let path = entry.path();
        let name = path.strip_prefix(home).unwrap_or(&path).to_string_lossy().into_owned();
        if kind.is_dir() && !FOREIGN.contains(&name.as_str()) {
            collect(home, &path, found)?;
        } else if kind.is_file() {
            found.insert(name, path);
        }
    }
    Ok(())
}

/// The faults of one file, each `name:line: what is wrong`.
fn check(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let is_rust = name.ends_with(".rs");
    if needs_licence(name) && !text.lines().take(3).any(|l| l.contains("SPDX-License-Identifier: ")) {
        faults.push(format!("{name}:1: no SPDX-License-Identifier line"));
    }
    if !is_rust {
        return faults;
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        faults.push(format!("{name}:{lines}: longer than {LONGEST} lines: split it"));
    }
    let of_an_arch = name.starts_with("builder/src/arch/") || ARCH_FILES.contains(&name);
    let independent = name.starts_with("builder/src/audit/");
    for (i, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", i + 1);
        // A comment or a text may name what code must not.
        let code = line.split("//").next().unwrap_or_default();
        let uses = |stage: &&&str| code.contains(&format!("crate::{stage}::"));
        if let Some(stage) = CHOOSERS.iter().find(uses).filter(|_| independent) {
            faults.push(format!("{at}: the second reader uses {stage}, whose choices it is there to check"));
        }
        if !of_an_arch {
            let word = words(code).find(|w| is_arch_name(w));
            faults.extend(word.map(|w| format!("{at}: {w} belongs to one architecture: builder/src/arch/")));
        }
        if code.trim_start().starts_with(concat!("#[", "ignore")) {
            faults.push(format!("{at}: an ignored test proves nothing"));
        }
    }
    faults
}

/// Kinds of files that can carry the line.
fn needs_licence(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    let kinds = [".rs", ".toml", ".sh", ".c", ".h", ".S", ".py"];
    base == "Makefile" || base == "Kbuild" || name == ".ci/run" || kinds.iter().any(|k| base.ends_with(k))
}

/// Identifiers outside of string literals.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let outside = code.split('"').step_by(2);
    outside.flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
}

/// Machine numbers, relocation types and machine flags as ELF headers name them.
fn is_arch_name(word: &str) -> bool {
    let machines = ["X86", "X86_64", "386", "PPC", "PPC64", "AARCH64", "S390", "RISCV", "LOONGARCH", "ARM"];
    let after = |prefix: &str| word.strip_prefix(prefix);
    let of_machine = |rest: &str| {
        machines.iter().any(|m| rest == *m || rest.strip_prefix(m).is_some_and(|tail| tail.starts_with('_')))
    };
    ["EM_", "R_", "EF_", "E_"].iter().filter_map(|p| after(p)).any(of_machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "// SPDX-License-Identifier: GPL-2.0-or-later\n//! x\n";

    #[test]
    fn names_of_one_architecture_stay_in_their_folder() {
        let code = format!("{HEAD}let a = elf::R_X86_64_PC32; // R_PPC64_REL24\nlet b = \"EM_386\";\n");
        let faults = check("builder/src/proof.rs", &code);
        assert_eq!(faults, ["builder/src/proof.rs:3: R_X86_64_PC32 belongs to one architecture: builder/src/arch/"]);
        assert!(check("builder/src/arch/x86.rs", &code).is_empty());
        assert!(check("manager/src/arch.rs", &code).is_empty());
        assert_eq!(check("manager/src/host/mod.rs", &code).len(), 1);
        assert!(is_arch_name("EM_X86_64") && !is_arch_name("EM_NONE") && !is_arch_name("R_OK"));
    }

    #[test]
    fn each_crate_is_visited_and_nothing_of_cargos() {
        let home = home().unwrap();
        let visited = walk(&home).unwrap();
        let known = [
            "builder/src/target/store.rs",
            "shared/src/arch.rs",
            "contrib/tests/main.rs",
            "kmod/livepatch.rs",
            "manager/src/main.rs",
            "packager/src/lib.rs",
            "qemu-tests/src/suite.rs",
            "xtask/src/tidy.rs",
            "builder/fuzz/fuzz_targets/header.rs",
        ];
        assert_eq!(known.map(|name| visited.contains_key(name)), [true; 9]);
        assert!(!visited.keys().any(|name| name.starts_with("target/")));
        // And each layer has its module.
        let layers = Layers::read(&files::read_text(&home.join("ARCHITECTURE.md")).unwrap()).unwrap();
        let is_there = |m: &str| {
            visited.contains_key(&format!("builder/src/{m}.rs"))
                || visited.contains_key(&format!("builder/src/{m}/mod.rs"))
        };
        let gone: Vec<&str> = layers.modules().filter(|m| !is_there(m)).collect();
        assert!(gone.is_empty(), "{gone:?}");
    }

    #[test]
    fn the_second_reader_stands_alone() {
        let code = format!("{HEAD}use crate::diff::names;\nuse crate::elf::Object; // not crate::extract::x\n");
        assert_eq!(check("builder/src/audit/walk.rs", &code).len(), 1);
        assert!(check("builder/src/pipeline/mod.rs", &code).is_empty());
    }

    #[test]
    fn licence_length_and_ignored_tests_are_seen() {
        assert_eq!(check("a.sh", "echo\n").len(), 1);
        assert!(check("README.md", "text\n").is_empty());
        let long = format!("{HEAD}{}", "\n".repeat(LONGEST));
        assert!(check("a.rs", &long)[0].contains("longer than"));
        let ignored = format!("{HEAD}    {}\n", concat!("#[", "ignore]"));
        assert!(check("a.rs", &ignored)[0].contains("ignored test"));
    }
}
