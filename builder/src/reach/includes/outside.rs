// SPDX-License-Identifier: GPL-2.0-or-later
//! Files that become kernel code although they are in a folder of other things: what the kernel's own files include and
//! its makefiles compile in, paths below those folders out (`kernel/bpf/relo_core.c` is one line that includes
//! `tools/lib/bpf/relo_core.c`; in 6.1 kernel/bpf/Makefile compiles that file into kernel/bpf/relo_core.o).

use super::scan::{Includes, Scanner};
use super::{each_text, tail};
use crate::target::kbuild::plain;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Folders whose files become kernel code of this target only where it names them.
const SKIPPED: &[&str] = &["Documentation", "scripts", "samples", "tools", "LICENSES"];

/// Whether the file at `path` is in one of these folders.
pub(in crate::reach) fn is_outside(path: &str) -> bool {
    path.split_once('/').is_some_and(|(top, _)| SKIPPED.contains(&top))
}

/// Whether a folder at the top of the tree is one of these, or hidden.
pub(super) fn is_skipped(name: &str) -> bool {
    SKIPPED.contains(&name) || name.starts_with('.')
}

/// The files outside that `inside` (paths and what they include) or `compiled` reach, also one through another, with what
/// they include.
pub(super) fn reached<'a>(
    tree: &Path,
    scanner: &Scanner,
    inside: impl Iterator<Item = (&'a str, &'a Includes)>,
    compiled: &[(String, String)],
) -> Result<Vec<(String, Includes)>> {
    let mut found: BTreeMap<String, Includes> = BTreeMap::new();
    let mut next: BTreeSet<String> =
        compiled.iter().map(|(source, _)| source.clone()).filter(|s| is_outside(s)).collect();
    inside.for_each(|(path, includes)| next.extend(named(path, includes)));
    while !next.is_empty() {
        let files: Vec<String> =
            next.into_iter().filter(|p| !found.contains_key(p) && tree.join(p).is_file()).collect();
        let texts = each_text(tree, &files, |text| scanner.scan(text))?;
        next = files.iter().zip(&texts).flat_map(|(path, includes)| named(path, includes)).collect();
        found.extend(files.into_iter().zip(texts));
    }
    Ok(found.into_iter().collect())
}

/// The files outside that the file at `path` may mean by what it includes: beside it, or from the top of the tree.
fn named<'a>(path: &'a str, includes: &'a Includes) -> impl Iterator<Item = String> + 'a {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let names = includes.names.iter().map(|(_, name)| name.as_str());
    let both = move |name| [plain(&format!("{folder}/{name}")), tail(name)];
    names.flat_map(both).filter(|file| is_outside(file))
}
