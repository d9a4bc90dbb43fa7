// SPDX-License-Identifier: GPL-2.0-or-later
//! The target's tree as the fixes leave it, for the compiler: a sandbox in, the same with changed, new and deleted files
//! laid over the tree at their own paths out.
//!
//! A changed file is bound over the one that is there. A file can neither be bound to where none is nor be taken
//! away in a tree that is read-only, so a folder with new or deleted files gets a copy laid over it: its files are
//! copied, its folders bound.

use crate::sandbox::Sandbox;
use crate::source::PatchedTree;
use crate::target::Target;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Lays the files of `tree` over the target's in `sandbox`. Copies of folders go to `copies`.
pub fn over(tree: &PatchedTree, target: &Target, mut sandbox: Sandbox, copies: &Path) -> Result<Sandbox> {
    let inside = |path: &str| match path {
        "" => target.tree_inside.clone(),
        path => format!("{}/{path}", target.tree_inside),
    };
    let mut copied: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (path, file) in &tree.files {
        if file.original.is_none() != file.patched.is_none() {
            copied.entry(folder_that_is_there(target, path)).or_default().push(path);
        }
    }
    // Those above come first: a copy's folders are bound from the tree, and may be covered by copies in turn.
    for (number, (folder, paths)) in copied.iter().enumerate() {
        let copy = copies.join(number.to_string());
        let gone: BTreeSet<&str> = paths.iter().copied().filter(|p| tree.files[*p].patched.is_none()).collect();
        let below = copy_folder(target, folder, &copy, &gone)?;
        for path in paths.iter().filter(|p| tree.files[**p].patched.is_some()) {
            let to = copy.join(relative(path, folder));
            std::fs::create_dir_all(to.parent().unwrap_or(&copy))
                .and_then(|()| std::fs::copy(tree.overlay.join(path), &to))
                .with_context(|| format!("cannot write {}", to.display()))?;
        }
        sandbox = sandbox.read_only(&copy, &inside(folder));
        for name in below {
            let path = join(folder, &name);
            sandbox = sandbox.read_only(&target.tree.join(&path), &inside(&path));
        }
    }
    for (path, file) in &tree.files {
        if file.original.is_some() && file.patched.is_some() {
            sandbox = sandbox.read_only(&tree.overlay.join(path), &inside(path));
        }
    }
    Ok(sandbox)
}

/// The nearest folder above `path` that the tree has; empty for its top.
fn folder_that_is_there(target: &Target, path: &str) -> String {
    let mut at = path;
    while let Some((above, _)) = at.rsplit_once('/') {
        if target.tree.join(above).is_dir() {
            return above.into();
        }
        at = above;
    }
    String::new()
}

fn relative<'p>(path: &'p str, folder: &str) -> &'p str {
    path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/')
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.into()
    } else {
        format!("{folder}/{name}")
    }
}

/// Copies the files of a folder but those in `gone`, and makes its folders, empty: their names are returned.
fn copy_folder(target: &Target, folder: &str, copy: &Path, gone: &BTreeSet<&str>) -> Result<Vec<String>> {
    let dir = target.tree.join(folder);
    let mut folders = Vec::new();
    let _ = std::fs::remove_dir_all(copy);
    std::fs::create_dir_all(copy).with_context(|| format!("cannot make folder {}", copy.display()))?;
    for entry in std::fs::read_dir(&dir).with_context(|| format!("cannot read the folder {}", dir.display()))? {
        let entry = entry.with_context(|| format!("cannot read the folder {}", dir.display()))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if gone.contains(join(folder, &name).as_str()) {
            continue;
        }
        // Links are followed: what they lead to is what the compiler reads.
        let to = copy.join(&name);
        let made = match std::fs::metadata(entry.path()) {
            Ok(m) if m.is_dir() => {
                folders.push(name);
                std::fs::create_dir(&to)
            }
            // What kbuild made of the folder is not read by the compiler.
            Ok(m) if m.is_file() && !to.extension().is_some_and(|e| e == "o" || e == "a" || e == "cmd") => {
                std::fs::copy(entry.path(), &to).map(drop)
            }
            _ => Ok(()),
        };
        made.with_context(|| format!("cannot copy {}", entry.path().display()))?;
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use crate::source::TouchedFile;

    #[test]
    fn changed_new_and_deleted_files_show_at_their_paths() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| files::write(&dir.path().join(path), text.as_bytes()).unwrap();
        for path in ["top.h", "inc/old.h", "inc/same.h", "inc/sub/deep.h", "inc/sub/gone.h", "inc/changed.h"] {
            put(&format!("tree/{path}"), path);
        }
        let touched = [
            ("inc/changed.h", true, true),
            ("inc/new.h", false, true),
            ("inc/old.h", true, false),
            ("inc/sub/gone.h", true, false),
            ("far/away/new.h", false, true),
        ];
        let mut tree = PatchedTree {
            files: BTreeMap::new(),
            fixes: Vec::new(),
            touches: Vec::new(),
            overlay: dir.path().join("patched"),
            notes: Vec::new(),
        };
        for (path, before, after) in touched {
            if after {
                put(&format!("patched/{path}"), &format!("{path} patched"));
            }
            let text = |there: bool| there.then(|| b"x".to_vec());
            tree.files.insert(path.into(), TouchedFile { original: text(before), patched: text(after) });
        }
        let target = crate::target::sample::target(&dir.path().join("tree"), Path::new("/"));
        let sandbox = over(&tree, &target, target.sandbox(), &dir.path().join("copies")).unwrap();
        let out = sandbox.run("sh", &["-c", "for f in $(find . -type f | sort); do echo $f: $(cat $f); done"]).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            "./far/away/new.h: far/away/new.h patched\n./inc/changed.h: inc/changed.h patched\n\
             ./inc/new.h: inc/new.h patched\n./inc/same.h: inc/same.h\n./inc/sub/deep.h: inc/sub/deep.h\n./top.h: top.h\n"
        );
    }
}
