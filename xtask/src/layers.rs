// SPDX-License-Identifier: GPL-2.0-or-later
//! The layers of builder/src/: the block `layers` of ARCHITECTURE.md in; out, for a file of the builder, the imports that
//! lead upwards. A row of the block is a layer, the highest first: what is in it, with `+` between modules that may import each
//! other, and a remark after `#`.

use anyhow::{ensure, Context, Result};
use std::collections::BTreeMap;

/// Where a module is: its row, counted from above, and the group of it.
type Place = (usize, usize);

/// The layers.
pub struct Layers(BTreeMap<String, Place>);

impl Layers {
    /// Reads the block in `text`.
    ///
    /// # Errors
    /// No block; a module that is there twice.
    pub fn read(text: &str) -> Result<Self> {
        let (_, block) = text.split_once("```layers\n").context("ARCHITECTURE.md has no block `layers`")?;
        let (block, _) = block.split_once("```").context("the block `layers` in ARCHITECTURE.md has no end")?;
        let mut places = BTreeMap::new();
        for (row, line) in block.lines().enumerate() {
            let names = line.split('#').next().unwrap_or_default();
            for (group, together) in names.split_whitespace().enumerate() {
                for name in together.split('+') {
                    let twice = places.insert(name.to_owned(), (row, group)).is_some();
                    ensure!(!twice, "{name} is listed twice in the block `layers` of ARCHITECTURE.md");
                }
            }
        }
        Ok(Self(places))
    }

    /// The faults of the file `name`, each `name:line: what is wrong`.
    pub fn check(&self, name: &str, text: &str) -> Vec<String> {
        let Some(module) = module(name) else { return Vec::new() };
        let Some(place) = self.0.get(module) else {
            return vec![format!("{name}:1: {module} is in no layer: add it to the block `layers` of ARCHITECTURE.md")];
        };
        let fault = |(line, used): (usize, String)| match self.0.get(&used) {
            _ if used == module => None,
            Some(other) if other.0 > place.0 || other == place => None,
            Some(_) => {
                Some(format!("{name}:{line}: {module} imports {used}, which is no layer below it (ARCHITECTURE.md)"))
            }
            // An item of the crate itself, as a macro is.
            None => None,
        };
        imports(text).into_iter().filter_map(fault).collect()
    }

    /// The modules of the table.
    #[cfg(test)]
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The builder's top-level module that a file is part of; None for the crate's own files and those of others.
fn module(name: &str) -> Option<&str> {
    let first = name.strip_prefix("builder/src/")?.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(module, "lib" | "main" | "bin")).then_some(module)
}

/// What a file takes from its own crate: line and top-level name.
fn imports(text: &str) -> Vec<(usize, String)> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let starts_word = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if starts_word {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let line = 1 + code[..at].matches('\n').count();
        match rest.strip_prefix('{') {
            Some(group) => found.extend(names_of_a_group(group).into_iter().map(|name| (line, name))),
            None => found.push((line, word(rest))),
        }
    }
    found
}

/// The first names in `a::{b, c}, d}`: a and d.
fn names_of_a_group(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut plain = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain.split(',').map(|part| word(part.trim_start())).filter(|name| !name.is_empty()).collect()
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# x\n```layers\ncli        # prints\nlink proof # two stages\narch+elf\n```\ncode\n";

    #[test]
    fn imports_lead_downwards() {
        let layers = Layers::read(TABLE).unwrap();
        let faults = |name: &str, text: &str| layers.check(name, text).len();
        let low = "use crate::elf::Object; // crate::cli::x\nuse crate::{arch::{self, Arch}, elf};\n";
        assert_eq!(faults("builder/src/link/mod.rs", low), 0);
        assert_eq!(faults("builder/src/arch/x86_64.rs", "use crate::elf;"), 0, "together");
        assert_eq!(faults("builder/src/elf.rs", "fn f() { crate::link::g() }"), 1, "upwards");
        assert_eq!(faults("builder/src/proof.rs", "use crate::link::x;"), 1, "beside it");
        assert_eq!(faults("builder/src/link.rs", "use crate::{\n    arch::{cli, x},\n    cli,\n};"), 1);
        assert_eq!(faults("builder/src/new.rs", ""), 1, "in no layer");
        assert_eq!(
            faults("manager/src/link.rs", "use crate::cli;") + faults("builder/src/lib.rs", "use crate::cli;"),
            0
        );
        assert_eq!(faults("builder/src/link.rs", "kmend_crate::cli; $crate::cli"), 0);
    }

    #[test]
    fn a_table_that_is_wrong_is_told() {
        assert!(Layers::read("").is_err() && Layers::read("```layers\na\n").is_err());
        assert!(Layers::read("```layers\na b\nb\n```\n").is_err());
    }
}
