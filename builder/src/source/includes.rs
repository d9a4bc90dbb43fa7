// SPDX-License-Identifier: GPL-2.0-or-later
//! Which files include a `.c` file: a target's tree in, included path → including files out.
//!
//! kernel/sched/build_policy.c and some hundred others are made of `.c` files that are no units of their own, or
//! not only that. All of the tree has to be read to know, so the answer is kept.

use crate::compile::kbuild::{owns, plain, tree_id};
use crate::files;
use crate::progress;
use crate::target::Target;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

/// Folders whose files never become kernel code of this target.
const SKIPPED: &[&str] = &["Documentation", "scripts", "samples", "tools", "LICENSES", "rust"];

/// The including files by the path of the `.c` file that they include.
pub type Includers = BTreeMap<String, Vec<String>>;

/// What was found, with what it was found in.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Of all files' paths, sizes and times; empty for a tree that does not change.
    fingerprint: String,
    includers: Includers,
}

/// Finds all includes of `.c` files in the tree of `target`.
pub fn includers(target: &Target) -> Result<Includers> {
    let path = files::cache_dir()?.join("index").join(format!("c-includes-{}.json", tree_id(target)));
    let kept: Option<Kept> = std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok());
    let kept = match (kept, owns(target)) {
        (Some(kept), true) => return Ok(kept.includers),
        (kept, _) => kept,
    };
    let sources = walk(&target.tree, &target.arch)?;
    let fingerprint = if owns(target) { String::new() } else { fingerprint(&target.tree, &sources) };
    if let Some(kept) = kept.filter(|k| k.fingerprint == fingerprint) {
        return Ok(kept.includers);
    }
    let step = progress::step("finding out which .c files include others (kept for the next time)");
    let includers = search(&target.tree, &target.arch, &sources);
    let kept = Kept { fingerprint, includers };
    files::write(&path, &serde_json::to_vec(&kept).context("cannot write the list of includes")?)?;
    step.done(&format!("{} included files", kept.includers.len()));
    Ok(kept.includers)
}

fn fingerprint(tree: &Path, sources: &[String]) -> String {
    let mut text = String::new();
    for path in sources {
        let meta = std::fs::metadata(tree.join(path)).ok();
        let time = meta.as_ref().and_then(|m| m.modified().ok()).and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let _ = writeln!(text, "{path} {} {}", meta.map_or(0, |m| m.len()), time.unwrap_or_default().as_nanos());
    }
    files::sha256(text.as_bytes())
}

/// The folder of an architecture under arch/, by its `uname -m` name.
pub fn arch_folder(arch: &str) -> &str {
    match arch {
        "x86_64" | "i686" => "x86",
        "ppc64le" | "ppc64" => "powerpc",
        "aarch64" => "arm64",
        "s390x" => "s390",
        "loongarch64" => "loongarch",
        "riscv64" => "riscv",
        other => other,
    }
}

/// The C files and headers that may become code of this target, sorted.
fn walk(tree: &Path, arch: &str) -> Result<Vec<String>> {
    let mut sources = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let dir = tree.join(&folder);
        let entries = std::fs::read_dir(&dir).with_context(|| format!("cannot read the folder {}", dir.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read the folder {}", dir.display()))?;
            let kind = entry.file_type().with_context(|| format!("cannot read {}", entry.path().display()))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if kind.is_dir() {
                let skip = (folder.is_empty() && (SKIPPED.contains(&name.as_str()) || name.starts_with('.')))
                    || (folder == "arch" && name != arch_folder(arch));
                if !skip {
                    folders.push(path);
                }
            } else if kind.is_file() && (name.ends_with(".c") || name.ends_with(".h")) {
                sources.push(path);
            }
        }
    }
    sources.sort();
    Ok(sources)
}

fn search(tree: &Path, arch: &str, sources: &[String]) -> Includers {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let queue = Mutex::new(sources.chunks(256));
    let found = Mutex::new(Vec::new());
    let next = || queue.lock().ok().and_then(|mut q| q.next());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(chunk) = next() {
                    for path in chunk {
                        let Ok(text) = std::fs::read(tree.join(path)) else { continue };
                        let names = included(&text);
                        if let (false, Ok(mut found)) = (names.is_empty(), found.lock()) {
                            found.push((path.clone(), names));
                        }
                    }
                }
            });
        }
    });
    let mut includers = Includers::new();
    for (path, names) in found.into_inner().unwrap_or_default() {
        for name in names {
            for file in candidates(&path, &name, arch) {
                if tree.join(&file).is_file() {
                    includers.entry(file).or_default().push(path.clone());
                    break;
                }
            }
        }
    }
    includers.values_mut().for_each(|list| {
        list.sort();
        list.dedup();
    });
    includers
}

/// Where an include may lead: beside the file, or along kbuild's include paths.
fn candidates(path: &str, name: &str, arch: &str) -> Vec<String> {
    let dir = path.rsplit_once('/').map_or(".", |(d, _)| d);
    let arch = arch_folder(arch);
    [dir.to_string(), format!("arch/{arch}/include"), "include".into(), ".".into()]
        .iter()
        .map(|d| plain(&format!("{d}/{name}")))
        .collect()
}

/// The names of the `.c` files that a text includes.
fn included(text: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut from = 0;
    // Few files include a .c file: look for the end of the name first.
    while let Some(at) = text[from..].windows(3).position(|w| w == b".c\"" || w == b".c>") {
        let end = from + at + 2;
        let begin = text[..end].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
        let line = text[begin..end].trim_ascii_start();
        let rest = line.strip_prefix(b"#").map(|l| l.trim_ascii_start()).and_then(|l| l.strip_prefix(b"include"));
        if let Some(name) = rest.map(|l| l.trim_ascii_start()).filter(|l| matches!(l.first(), Some(b'"' | b'<'))) {
            names.extend(std::str::from_utf8(&name[1..]).ok().map(String::from));
        }
        from = end;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_included_c_files() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| files::write(&dir.path().join(path), text.as_bytes()).unwrap();
        put("kernel/all.c", "#include \"part.c\"\n  #  include <../lib/x.c>\n// \"no.c\"\nchar *s = \"part.c\";\n");
        put("kernel/part.c", "#include \"../lib/x.c\"\n");
        put("lib/x.c", "int x;\n");
        put("arch/arm/y.c", "#include \"../../lib/x.c\"\n");
        put("tools/z.c", "#include \"../lib/x.c\"\n");
        let found = search(dir.path(), "x86_64", &walk(dir.path(), "x86_64").unwrap());
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found["kernel/part.c"], ["kernel/all.c"]);
        assert_eq!(found["lib/x.c"], ["kernel/all.c", "kernel/part.c"]);
    }
}
