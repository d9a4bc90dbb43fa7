// SPDX-License-Identifier: GPL-2.0-or-later
//! What is left out of a sample: what kmend-build refuses in, the functions that its reasons are about out.

use super::choose::Source;
use super::edit;
use anyhow::{Context, Result};
use kmend_builder::error::Refusal;
use kmend_builder::files;
use kmend_builder::target::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Something that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The C file.
    pub source: String,
    /// The function; empty for the whole file.
    pub function: String,
    /// kmend's code, or `error`.
    pub code: String,
    /// What kmend said.
    pub reason: String,
}

/// What is already left out of a file.
pub fn is_left(left: &[Left], source: &str, function: &str) -> bool {
    left.iter().any(|l| l.source == source && (l.function == function || l.function.is_empty()))
}

/// What `refusal` is about, as far as it is not in `left` yet: a function that was changed, those that it reaches in its
/// file where it was not, those that use what it names; else the whole file. Empty where no file of the sample is meant.
pub fn blame(sources: &[Source], left: &[Left], refusal: &Refusal) -> Vec<Left> {
    let reason = format!("{}: {}", refusal.symbol, refusal.reason);
    let symbol = refusal.symbol.split(['.', ' ']).next().unwrap_or_default();
    let file = refusal.section.split(", ").next().unwrap_or_default();
    let named = sources.iter().find(|s| s.path == file);
    let source = named.or_else(|| sources.iter().find(|s| s.functions.iter().any(|f| f.has_symbol(&refusal.symbol))));
    let Some(source) = source else { return Vec::new() };
    let changed = |name: &str| !is_left(left, &source.path, name);
    let one = |function: &str, code: &str| Left {
        source: source.path.clone(),
        function: function.into(),
        code: code.into(),
        reason: reason.clone(),
    };
    let usable = || source.functions.iter().filter(|f| f.never.is_none());
    let own: Vec<Left> = usable()
        .filter(|f| f.has_symbol(&refusal.symbol) && changed(&f.name))
        .map(|f| one(&f.name, &refusal.code))
        .collect();
    if !own.is_empty() {
        return own;
    }
    // A function that is not changed itself, or no longer: one that is may be inlined in it. What it names is left out first;
    // where that was not all, what those name too, at once, as each build takes its time.
    let mut reached: BTreeSet<&str> =
        source.functions.iter().filter(|f| f.has_symbol(&refusal.symbol)).map(|f| f.name.as_str()).collect();
    let (mut next, mut inlined) = (reached.clone(), BTreeSet::new());
    for depth in 0.. {
        let bodies = source.functions.iter().filter(|f| next.contains(f.name.as_str()));
        let words: BTreeSet<&str> = bodies.flat_map(|f| edit::mentions(&source.text, f)).collect();
        let names = source.functions.iter().map(|f| f.name.as_str());
        next = names.filter(|name| words.contains(name) && !reached.contains(name)).collect();
        reached.extend(&next);
        inlined.extend(usable().map(|f| f.name.as_str()).filter(|name| next.contains(name) && changed(name)));
        if next.is_empty() || depth == 0 && !inlined.is_empty() {
            break;
        }
    }
    if !inlined.is_empty() {
        return inlined.into_iter().map(|name| one(name, &format!("{} of a caller", refusal.code))).collect();
    }
    // A datum or another file's symbol: who uses it.
    let users: Vec<Left> = usable()
        .filter(|f| !symbol.is_empty() && changed(&f.name) && edit::mentions(&source.text, f).contains(symbol))
        .map(|f| one(&f.name, &refusal.code))
        .collect();
    if !users.is_empty() {
        return users;
    }
    if is_left(left, &source.path, "") {
        Vec::new()
    } else {
        vec![one("", &refusal.code)]
    }
}

/// What was left out of earlier samples of a target with the same kmend-build: larger samples begin with it.
pub struct Known {
    file: PathBuf,
}

impl Known {
    /// What is kept of `target` and the program `kmend_build`.
    pub fn of(target: &Target, kmend_build: &Path) -> Result<Self> {
        let key = files::key(&[&files::sha256(&files::read(kmend_build)?), &target.build_id]);
        let name = format!("{}-{}.json", target.name.replace(['/', ':'], "_"), &key[..12]);
        Ok(Self { file: files::cache_dir()?.join("nop").join(name) })
    }

    /// All of it.
    pub fn read(&self) -> Result<Vec<Left>> {
        if !self.file.is_file() {
            return Ok(Vec::new());
        }
        serde_json::from_str(&files::read_text(&self.file)?).with_context(|| self.file.display().to_string())
    }

    /// Adds `left`.
    pub fn keep(&self, left: &[Left]) -> Result<()> {
        let mut all = self.read()?;
        all.extend(left.iter().filter(|l| !all.contains(l)).cloned().collect::<Vec<_>>());
        files::write(&self.file, serde_json::to_string_pretty(&all)?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Source> {
        let text =
            "static int inner(void)\n{\n\treturn 1;\n}\n\nint outer(void)\n{\n\treturn inner() + table[0];\n}\n\n\
                    static int __init start(void)\n{\n\treturn outer();\n}\n";
        vec![Source {
            path: "a/b.c".into(),
            object: "vmlinux".into(),
            text: text.into(),
            functions: edit::functions(text),
        }]
    }

    fn blamed(left: &[Left], symbol: &str, section: &str) -> Vec<(String, String)> {
        let refusal = Refusal::new("x", symbol, section, "why".into(), "");
        blame(&sample(), left, &refusal).into_iter().map(|l| (l.function, l.code)).collect()
    }

    #[test]
    fn who_is_meant() {
        let pair = |f: &str, c: &str| vec![(f.to_string(), c.to_string())];
        assert_eq!(blamed(&[], "inner.constprop.0", "a/b.c, .text.inner"), pair("inner", "x"));
        assert_eq!(blamed(&[], "outer", ".text.outer"), pair("outer", "x"));
        assert_eq!(blamed(&[], "start", "a/b.c, .init.text"), pair("outer", "x of a caller"));
        assert_eq!(blamed(&[], "table", "a/b.c, .data"), pair("outer", "x"));
        assert_eq!(blamed(&[], "", "a/b.c, .data"), pair("", "x"));
        assert!(blamed(&[], "", "c/d.c").is_empty());
        let left = |f: &str| Left { source: "a/b.c".into(), function: f.into(), code: "x".into(), reason: "".into() };
        assert_eq!(blamed(&[left("outer")], "start", "a/b.c, .init.text"), pair("inner", "x of a caller"));
        assert_eq!(blamed(&[left("outer"), left("inner")], "start", "a/b.c"), pair("", "x"));
        assert!(blamed(&[left("")], "start", "a/b.c").is_empty());
    }
}
