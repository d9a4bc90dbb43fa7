// SPDX-License-Identifier: GPL-2.0-or-later
//! The fixes of a pair: a target and a newer source in; each changed file of the kernel that the config builds out, as a
//! patch of one file.

use super::pair::Pair;
use anyhow::{ensure, Context, Result};
use kmend_builder::files;
use kmend_builder::target::kbuild;
use kmend_builder::target::{store, Target};
use qemu_tests::upstream::Source;
use qemu_tests::{cut, upstream};
use std::collections::{BTreeMap, BTreeSet};

/// All that differs between the two releases.
pub struct Fixes {
    /// The older one's kernel.
    pub target: Target,
    /// The newer one's files.
    newer: Source,
    /// The newer one's version, `7.2.13`.
    pub newest: String,
    /// The C files and headers that differ.
    pub changed: BTreeSet<String>,
    /// Those of them that are no code of this kernel, or that its config leaves out.
    pub unbuilt: BTreeSet<String>,
}

impl Fixes {
    /// Finds out what differs; the first time, the newer source is fetched and compared.
    pub fn find(pair: &Pair) -> Result<Self> {
        let target = target(pair)?;
        let older = (pair.from, target.tree.as_path());
        let (newer, changed) = upstream::changed(pair.package, &pair.newer(), older, is_code)?;
        let changed: BTreeSet<String> = changed.into_iter().collect();
        let unbuilt = unbuilt(&target, &changed)?;
        let newest = pair.to.1.split('-').next().unwrap_or_default().to_string();
        Ok(Self { target, newer, newest, changed, unbuilt })
    }

    /// Some files alone, which are known to differ and to be in this kernel.
    pub fn only(pair: &Pair, paths: &BTreeSet<String>) -> Result<Self> {
        let newer = upstream::fetch(pair.package, &pair.newer(), paths)?;
        let (target, newest) = (target(pair)?, String::new());
        Ok(Self { target, newer, newest, changed: paths.clone(), unbuilt: BTreeSet::new() })
    }

    /// The changed files that this kernel is built of, in their order by chance: always the same one for a `seed`.
    pub fn drawn(&self, seed: &str) -> Vec<String> {
        let mut order: Vec<(String, &String)> =
            self.changed.iter().filter(|p| !self.unbuilt.contains(*p)).map(|p| (files::key(&[seed, p]), p)).collect();
        order.sort();
        order.into_iter().map(|(_, path)| path.clone()).collect()
    }

    /// The difference in each changed file of this kernel, and the new files: which of those it would be built of, its
    /// makefiles do not say.
    pub fn diffs(&self) -> Result<Vec<(String, String)>> {
        let is_new = |path: &str| !self.target.tree.join(path).exists();
        let those = self.changed.iter().filter(|p| !self.unbuilt.contains(*p) || is_new(p));
        those.map(|p| Ok((p.clone(), self.patch(p)?))).collect()
    }

    /// The difference in one file.
    fn patch(&self, path: &str) -> Result<String> {
        let old = self.target.tree.join(path);
        let new = self.newer.file(path);
        if old.exists() {
            return cut::diff(&old, &new, path);
        }
        let text = files::read_text(&new).with_context(|| path.to_string())?;
        let lines: String = text.lines().map(|l| format!("+{l}\n")).collect();
        Ok(format!("--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{} @@\n{lines}", text.lines().count()))
    }
}

/// The older one's kernel.
fn target(pair: &Pair) -> Result<Target> {
    let target = store::load(pair.target)?;
    let (name, version) = (pair.target, &target.version);
    ensure!(
        *version == pair.from,
        "{name} is {version} by now, and the corpus is about {}: name the new pair in xtask/src/corpus/pair.rs",
        pair.from
    );
    Ok(target)
}

/// What the corpus is about: C code of the kernel.
fn is_code(path: &str) -> bool {
    let top = path.split('/').next().unwrap_or_default();
    (path.ends_with(".c") || path.ends_with(".h"))
        && !matches!(top, "Documentation" | "LICENSES" | "samples" | "scripts" | "tools" | "usr" | "debian")
}

/// What of `changed` is not in this kernel. Headers are told by their folder alone: who includes one is for the builder
/// to find.
fn unbuilt(target: &Target, changed: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let own = format!("arch/{}/", if target.arch == "ppc64le" { "powerpc" } else { "x86" });
    let other = |path: &str| path.starts_with("arch/") && path.matches('/').count() > 1 && !path.starts_with(&own);
    let object = |path: &str| path.strip_suffix(".c").map(|stem| format!("{stem}.o"));
    let of_c: BTreeMap<&String, String> =
        changed.iter().filter(|p| !other(p)).filter_map(|p| Some((p, object(p)?))).collect();
    let dirs: BTreeSet<String> =
        of_c.keys().filter_map(|p| p.rsplit_once('/')).map(|(dir, _)| dir.to_string()).collect();
    let objects = kbuild::ask(target, &dirs)?;
    let mut unbuilt: BTreeSet<String> = changed.iter().filter(|p| other(p)).cloned().collect();
    unbuilt.extend(of_c.iter().filter(|(_, o)| objects.spelling(o).is_none()).map(|(p, _)| (*p).clone()));
    Ok(unbuilt)
}
