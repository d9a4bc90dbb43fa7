// SPDX-License-Identifier: GPL-2.0-or-later
//! Which .c files may define a function: a target's tree in, files by the function's name out. The result is cached.
//! The search goes by the form of the text; the caller compiles the file to be certain.

use super::includes::{fingerprint, walk};
use crate::files;
use crate::parallel;
use crate::progress;
use crate::target::kbuild::{owns, tree_id};
use crate::target::Target;
use anyhow::Result;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Begins the kept list; its rest is what the list was made of. Raised when the list has another form.
const VERSION: &str = "kmend definitions 1";

/// The list: a line each with the name, a tab, the file.
pub struct Definitions(Vec<u8>);

impl Definitions {
    /// Finds all definitions in the tree of `target`, or takes what was kept.
    ///
    /// # Errors
    /// A tree that cannot be read.
    pub fn of(target: &Target) -> Result<Self> {
        let path = files::cache_dir()?.join("index").join(format!("definitions-{}", tree_id(target)));
        let is_from = |bytes: &[u8], print: &str| bytes.starts_with(format!("{VERSION} {print}\n").as_bytes());
        let kept = std::fs::read(&path).unwrap_or_default();
        if owns(target) && is_from(&kept, "") {
            return Ok(Self(kept));
        }
        let (mut sources, _makefiles) = walk(&target.tree, &target.arch)?;
        sources.retain(|s| s.ends_with(".c"));
        let print = if owns(target) { String::new() } else { fingerprint(&target.tree, &sources) };
        if is_from(&kept, &print) {
            return Ok(Self(kept));
        }
        let step = progress::step("finding out which files define which functions (kept for the next time)");
        let mut text = format!("{VERSION} {print}\n");
        for (name, file) in search(&target.tree, &sources)? {
            let _ = writeln!(text, "{name}\t{file}");
        }
        files::keep(&path, text.as_bytes());
        step.done("");
        Ok(Self(text.into_bytes()))
    }

    /// The files that may define `name`, those nearest to the file `near` first.
    pub fn files(&self, name: &str, near: &str) -> Vec<String> {
        let needle = format!("\n{name}\t");
        let mut found: Vec<String> = memchr::memmem::find_iter(&self.0, needle.as_bytes())
            .filter_map(|at| {
                let rest = &self.0[at + needle.len()..];
                let end = rest.iter().position(|&b| b == b'\n')?;
                String::from_utf8(rest[..end].to_vec()).ok()
            })
            .collect();
        let common = |file: &str| file.split('/').zip(near.split('/')).take_while(|(a, b)| a == b).count();
        found.sort_by_key(|file| (std::cmp::Reverse(common(file)), file.clone()));
        found
    }
}

fn search(tree: &Path, sources: &[String]) -> Result<BTreeSet<(String, String)>> {
    let chunks: Vec<&[String]> = sources.chunks(256).collect();
    let found = parallel::map(&chunks, |_, chunk| {
        let texts = chunk.iter().filter_map(|path| Some((path, std::fs::read(tree.join(path)).ok()?)));
        let names = texts.flat_map(|(path, text)| defined(&text).into_iter().map(|name| (name, path.clone())));
        Ok(names.collect::<Vec<_>>())
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// The names that lines at the left edge seem to define: identifiers before a parenthesis, and the first word within it
/// where the identifier is a macro's (`SYSCALL_DEFINE1(NAME`).
fn defined(text: &[u8]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.split(|&b| b == b'\n') {
        let begins = line.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
        if !begins || (line.ends_with(b";") && !line.contains(&b'{')) {
            continue;
        }
        for at in memchr::memchr_iter(b'(', line) {
            let Some(name) = last_word(&line[..at]) else { continue };
            if name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
                let inside = line[at + 1..].trim_ascii_start();
                let end = inside.iter().position(|b| !is_word(*b)).unwrap_or(inside.len());
                names.extend(last_word(&inside[..end]));
            }
            names.insert(name);
        }
    }
    names
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn last_word(text: &[u8]) -> Option<String> {
    let text = text.trim_ascii_end();
    let begin = text.iter().rposition(|b| !is_word(*b)).map_or(0, |p| p + 1);
    let word = &text[begin..];
    let is_name = word.first().is_some_and(|b| !b.is_ascii_digit());
    is_name.then(|| String::from_utf8_lossy(word).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_by_their_looks() {
        let text = "int a(void);\nint b(int x)\n{\n\tc(x);\n}\nstatic struct s *\nd (int y,\n  int z)\n\
                    SYSCALL_DEFINE2(e, int, f)\nint g(void) { return 1; }\n__printf(1, 2) void h(char *t)\n#define i(x) x\n";
        let found: Vec<String> = defined(text.as_bytes()).into_iter().collect();
        assert_eq!(found, ["SYSCALL_DEFINE2", "__printf", "b", "d", "e", "g", "h"]);
    }

    #[test]
    fn the_nearest_file_comes_first() {
        let list = Definitions(b"x\na\tdrivers/a.c\na\tnet/b/c.c\na\tnet/d.c\nab\tnet/b/e.c\n".to_vec());
        assert_eq!(list.files("a", "net/b/f.c"), ["net/b/c.c", "net/d.c", "drivers/a.c"]);
        assert_eq!(list.files("b", "net/b/f.c"), [""; 0]);
    }
}
