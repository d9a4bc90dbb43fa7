// SPDX-License-Identifier: GPL-2.0-or-later
//! What decides a compile beside its command: the fixes' files and the names of all files of a tree in; checksums of what the
//! compiler reads, and of where it would find it, out.
//!
//! A list of the files that the compiler read (`-MD`) does not tell when another header of the same name appears in a folder that is
//! searched earlier. So the places of all files with these names count too ([`Names`]). Which one the compiler takes is its own
//! matter: as long as the places are the same, it takes the same one. Preprocessing each unit would tell as well, and takes some tenths of
//! a second for each, where this takes milliseconds.

use crate::files;
use crate::source::PatchedTree;
use aho_corasick::AhoCorasick;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::LazyLock;

/// Words by which a text has an effect that no list of files tells: files that the assembler reads, questions about files that may
/// not be there, the time of day. No header that a kernel's units have in common has one.
const ODD: &[&str] = &[
    "incbin",
    ".include \"",
    ".include \\\"",
    "#embed",
    "__has_include",
    "__has_embed",
    "__DATE__",
    "__TIME__",
    "__TIMESTAMP__",
];

static ODD_WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(ODD).ok());

/// A text that the compiler reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its checksum.
    pub sha256: String,
    /// What is made of it depends on more than on what it includes.
    pub is_odd: bool,
}

impl Text {
    /// Of a file's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { sha256: files::sha256(bytes), is_odd: ODD_WORDS.as_ref().is_none_or(|words| words.is_match(bytes)) }
    }
}

/// What the compiler reads instead of the tree's own files, by path: relative to the tree or absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// None where the fixes delete the file.
    texts: BTreeMap<String, Option<Text>>,
    /// What they add to a name and take away from it: the folders, each with its sign. By the name of the file.
    moves: BTreeMap<String, Vec<String>>,
}

impl Contents {
    /// Of the fixes' files.
    pub fn of(tree: &PatchedTree) -> Self {
        let mut all = Self::default();
        for (path, file) in &tree.files {
            all.texts.insert(path.clone(), file.patched.as_deref().map(Text::of));
            let sign = match (&file.original, &file.patched) {
                (None, Some(_)) => '+',
                (Some(_), None) => '-',
                _ => continue,
            };
            let (folder, name) = split(path);
            all.moves.entry(name.into()).or_default().push(format!("{sign}{folder}"));
        }
        all
    }

    /// The same with another file instead of the one at `path`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn with(mut self, path: &str, file: &Path) -> Result<Self> {
        self.texts.insert(path.into(), Some(Text::of(&files::read(file)?)));
        Ok(self)
    }

    /// What is read instead of `path`; the inner None: it is deleted.
    pub fn get(&self, path: &str) -> Option<Option<&Text>> {
        self.texts.get(path).map(Option::as_ref)
    }
}

/// The first half of a SHA-256.
type Half = [u8; 16];

/// In which folders of a tree there is a file of which name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Checksums of the folders, by the name of the file.
    folders: HashMap<String, Half>,
    /// Of links to folders, by which a file has more paths than one.
    links: Half,
}

impl Names {
    /// Of the files in `tree`.
    ///
    /// # Errors
    /// A folder that is there and cannot be read.
    pub fn of(tree: &Path) -> Result<Self> {
        let mut found: HashMap<String, Vec<String>> = HashMap::new();
        let mut links = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let dir = tree.join(&folder);
            let cannot = || format!("cannot read the folder {}", dir.display());
            let entries = match std::fs::read_dir(&dir) {
                // kbuild, at work there for another run, has folders of its own (.tmp_37) that come and go.
                Err(gone) if gone.kind() == ErrorKind::NotFound && !folder.is_empty() => continue,
                entries => entries.with_context(cannot)?,
            };
            for entry in entries {
                let entry = entry.with_context(cannot)?;
                let kind = entry.file_type().with_context(cannot)?;
                // The compiler could not write down a name that is no text.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = || if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                if kind.is_dir() {
                    // Nothing of it is searched for headers, and it has more files than all the rest.
                    if !(folder.is_empty() && name == ".git") {
                        folders.push(path());
                    }
                } else if kind.is_symlink() && entry.path().is_dir() {
                    let to = std::fs::read_link(entry.path()).with_context(cannot)?;
                    links.push(format!("{}\0{}", path(), to.display()));
                } else {
                    found.entry(name).or_default().push(folder.clone());
                }
            }
        }
        links.sort();
        let sum = |(name, mut folders): (String, Vec<String>)| {
            folders.sort();
            (name, half(folders.join("\0").as_bytes()))
        };
        Ok(Self { folders: found.into_iter().map(sum).collect(), links: half(links.join("\n").as_bytes()) })
    }

    /// A checksum of the places of all files that are called like one of `paths`, once `over` lies over the tree.
    pub fn places(&self, paths: &[String], over: &Contents) -> Vec<u8> {
        let mut all = Vec::with_capacity(16 * (paths.len() + 1));
        for path in paths {
            let (_, name) = split(path);
            let folders = self.folders.get(name).copied().unwrap_or_default();
            match over.moves.get(name) {
                None => all.extend(folders),
                Some(moves) => all.extend(half(&[&folders, moves.join("\0").as_bytes()].concat())),
            }
        }
        all.extend(self.links);
        half(&all).to_vec()
    }
}

fn half(bytes: &[u8]) -> Half {
    let mut half = Half::default();
    half.copy_from_slice(&Sha256::digest(bytes)[..16]);
    half
}

/// Folder and name of a path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::TouchedFile;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|file| files::write(&dir.path().join(file), b"").unwrap());
        dir
    }

    fn fixes(files: &[(&str, bool, bool)]) -> PatchedTree {
        let touched = |(path, before, after): &(&str, bool, bool)| {
            let text = |there: &bool| there.then(|| b"x".to_vec());
            (path.to_string(), TouchedFile { original: text(before), patched: text(after) })
        };
        let files = files.iter().map(touched).collect();
        PatchedTree { files, fixes: Vec::new(), touches: Vec::new(), overlay: "none".into(), notes: Vec::new() }
    }

    #[test]
    fn a_name_counts_wherever_it_is() {
        let read = ["a/x.h".to_string(), "main.c".into()];
        let of = |files: &[&str]| Names::of(tree(files).path()).unwrap().places(&read, &Contents::default());
        let plain = of(&["a/x.h", "main.c"]);
        assert_eq!(of(&["main.c", "a/x.h", "b/y.h", "z.o"]), plain);
        for other in [&["a/x.h", "main.c", "b/x.h"][..], &["a/x.h", "main.c", "x.h"], &["b/x.h", "main.c"], &["main.c"]]
        {
            assert_ne!(of(other), plain, "{other:?}");
        }
        let linked = tree(&["a/x.h", "main.c"]);
        std::os::unix::fs::symlink("a", linked.path().join("b")).unwrap();
        assert_ne!(Names::of(linked.path()).unwrap().places(&read, &Contents::default()), plain);
    }

    #[test]
    fn fixes_add_names_and_take_them_away() {
        let names = Names::of(tree(&["a/x.h", "b/y.h", "main.c"]).path()).unwrap();
        let read = ["a/x.h".to_string(), "main.c".into()];
        let of = |files: &[(&str, bool, bool)]| names.places(&read, &Contents::of(&fixes(files)));
        let plain = of(&[]);
        assert_eq!(of(&[("a/x.h", true, true), ("b/y.h", true, false), ("b/new.h", false, true)]), plain);
        for other in [("b/x.h", false, true), ("x.h", false, true), ("a/x.h", true, false)] {
            assert_ne!(of(&[other]), plain, "{other:?}");
        }
        assert_ne!(of(&[("b/x.h", false, true)]), of(&[("c/x.h", false, true)]));
    }

    #[test]
    fn words_that_do_more_than_they_say() {
        for odd in
            ["asm(\".incbin \\\"x\\\"\");", "#if __has_include(<x.h>)", "char t[] = __TIME__;", "\t.include \"x.S\""]
        {
            assert!(Text::of(odd.as_bytes()).is_odd, "{odd}");
        }
        assert!(!Text::of(b"#include \"x.h\"\n/* DATE */ int include;\n").is_odd);
    }
}
