// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a patch belongs to a tree: a patch file and a source tree in; fits, in already, or neither out.

use anyhow::{bail, ensure, Context, Result};
use kmend_builder::sandbox;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Whether a patch fits a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It applies.
    Fits,
    /// The tree has it already.
    Already,
    /// Neither; the text is what `patch` said.
    No(String),
}

/// Looks whether `patch` applies to `tree`; nothing is changed.
pub fn look(tree: &Path, patch: &Path) -> Result<Stand> {
    let forward = run(tree, patch, &["--dry-run"])?;
    let fits = forward.status.success();
    // A patch that adds lines like those around them also applies where it is in already, a few lines off.
    if fits && !String::from_utf8_lossy(&forward.stdout).contains("Hunk #") {
        return Ok(Stand::Fits);
    }
    if run(tree, patch, &["--dry-run", "--reverse"])?.status.success() {
        return Ok(Stand::Already);
    }
    if fits {
        return Ok(Stand::Fits);
    }
    Ok(Stand::No(sandbox::tail(&forward)))
}

/// Applies `patch` to `tree`.
pub fn apply(tree: &Path, patch: &Path) -> Result<()> {
    let out = run(tree, patch, &[])?;
    ensure!(out.status.success(), "{} does not apply to {}:\n{}", patch.display(), tree.display(), sandbox::tail(&out));
    Ok(())
}

fn run(tree: &Path, patch: &Path, args: &[&str]) -> Result<Output> {
    let mut c = Command::new("patch");
    // As kmend-build applies fixes: other line numbers are fine, other lines are not; nothing is asked.
    c.args(["--unified", "--strip=1", "--fuzz=0", "--force", "--no-backup-if-mismatch", "--reject-file=-"]);
    c.args(args).arg("--directory").arg(tree).arg("--input").arg(std::path::absolute(patch)?);
    c.env("LC_ALL", "C").env_remove("POSIXLY_CORRECT").env_remove("PATCH_GET").stdin(Stdio::null());
    let out = c.output().context("cannot start patch: is it installed? (`make deps` installs what kmend needs)")?;
    // 1 means that hunks fail; more is serious trouble.
    if out.status.code().is_none_or(|c| c > 1) {
        bail!("patch failed on {} ({}):\n{}", patch.display(), out.status, sandbox::tail(&out));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ways_a_patch_can_stand() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (tree, patch) = (dir.path().join("tree"), dir.path().join("x.patch"));
        std::fs::create_dir(&tree).expect("dir");
        std::fs::write(&patch, "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n").expect("write");
        let file = tree.join("f");
        std::fs::write(&file, "0\na\nb\nc\n").expect("write");
        assert_eq!(look(&tree, &patch).expect("looks"), Stand::Fits);
        apply(&tree, &patch).expect("applies");
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "0\na\nx\nc\n");
        assert_eq!(look(&tree, &patch).expect("looks"), Stand::Already);
        std::fs::write(&patch, "--- a/f\n+++ b/f\n@@ -1,4 +1,6 @@\n a\n b\n+a\n+b\n c\n d\n").expect("write");
        std::fs::write(&file, "a\nb\na\nb\nc\nd\n").expect("write");
        assert_eq!(look(&tree, &patch).expect("looks"), Stand::Already);
        std::fs::write(&file, "0\na\nb\nc\nd\n").expect("write");
        assert_eq!(look(&tree, &patch).expect("looks"), Stand::Fits);
        std::fs::write(&patch, "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n").expect("write");
        std::fs::write(&file, "a\nz\nc\n").expect("write");
        assert!(matches!(look(&tree, &patch).expect("looks"), Stand::No(said) if said.contains("FAILED")));
        assert!(apply(&tree, &patch).is_err());
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "a\nz\nc\n");
    }
}
