// SPDX-License-Identifier: GPL-2.0-or-later
//! Build roots: a description of one in; out, a folder of the cache that was made from just that and whose compilers start.
//! Targets that want the same share one. The distribution fills the folder.

use super::record;
use crate::files::{self, make_dir, remove_dir};
use crate::progress::{self, Step};
use crate::sandbox;
use anyhow::{ensure, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Written last into a root that is complete; it holds what the root was made from.
const MARKER: &str = "etc/kmend-root";

/// The description of a build root.
#[derive(Clone, Debug)]
pub struct Root {
    /// What its folder's name starts with: `forky-amd64`.
    pub name: String,
    /// All that it is made from, packages with their versions. The same text is the same root.
    pub made_from: String,
    /// The C compiler's program.
    pub cc: String,
    /// The first line of that compiler's `--version`; None where any version will do.
    pub cc_words: Option<String>,
    /// Whether it has a Rust compiler.
    pub rust: bool,
}

impl Root {
    /// The root, filled by `fill` where it is not there or broken; that returns what is reported at its end.
    ///
    /// # Errors
    /// No sandbox; what `fill` fails with; compilers that do not start, or differ from [`Self::cc_words`].
    pub fn make(&self, fill: impl FnOnce(&Path, &Step) -> Result<String>) -> Result<PathBuf> {
        sandbox::possible()?;
        let key = &files::sha256(self.made_from.as_bytes())[..12];
        let roots = files::cache_dir()?.join("roots");
        let root = roots.join(format!("{}-{key}", self.name));
        let _lock = files::lock(&roots.join(format!("{key}.lock")), "makes the same build root")?;
        match self.check(&root) {
            Ok(()) => return Ok(root),
            Err(fault) if root.exists() => {
                eprintln!("  the build root {} is broken ({fault:#}): making it anew", root.display())
            }
            Err(_) => {}
        }
        let step = progress::step(format!("making the build root {} with {}", self.name, self.cc));
        let new = roots.join(format!("{key}.new"));
        remove_dir(&new)?;
        remove_dir(&root)?;
        make_dir(&new)?;
        let complete = || {
            let said = fill(&new, &step)?;
            files::write(&new.join(MARKER), self.made_from.as_bytes())?;
            self.check(&new).context("the new build root does not work")?;
            Ok(said)
        };
        let said = complete().inspect_err(|_: &anyhow::Error| {
            // Half a root helps no one, least of all on a full disk.
            let _ = remove_dir(&new);
        })?;
        fs::rename(&new, &root).with_context(|| format!("cannot rename {} to {}", new.display(), root.display()))?;
        step.done(&said);
        Ok(root)
    }

    /// A root is good when its marker is the wanted one and its compilers start.
    fn check(&self, root: &Path) -> Result<()> {
        let found = files::read_text(&root.join(MARKER)).context("it is not complete")?;
        ensure!(found == self.made_from, "it was made from other packages");
        let compilers = record::compilers(&sandbox::Sandbox::new(root), &self.cc, self.rust)?;
        if let Some(words) = &self.cc_words {
            ensure!(compilers.cc == *words, "its compiler is {:?}, the kernel's is {words:?}", compilers.cc);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_without_its_marker_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root {
            name: "x".into(),
            made_from: "x".into(),
            cc: "gcc-1".into(),
            cc_words: Some("gcc-1 (x) 1".into()),
            rust: false,
        };
        assert!(root.check(dir.path()).unwrap_err().to_string().contains("not complete"));
        files::write(&dir.path().join(MARKER), b"y").unwrap();
        assert!(root.check(dir.path()).unwrap_err().to_string().contains("other packages"));
        files::write(&dir.path().join(MARKER), b"x").unwrap();
        assert!(root.check(dir.path()).is_err(), "no compiler in it");
    }
}
