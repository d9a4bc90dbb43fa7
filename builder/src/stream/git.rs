// SPDX-License-Identifier: GPL-2.0-or-later
//! Commits of a git repository as patch files: a folder and a range in, a file for each commit out. The machine's own git reads the
//! repository; it runs no program that the repository names.

use super::plan::word;
use crate::sandbox::{within, Limits};
use crate::source::{patchfile, title};
use crate::target::tied;
use anyhow::{ensure, Result};
use std::path::Path;

/// The most commits of a range.
const MOST: usize = 1000;

/// The commits of `range` in `dir`, the oldest first: a name for each patch file, and its bytes.
///
/// # Errors
/// No repository, no such range, one of no commits or of too many, with merges, or with commits that change nothing.
pub fn commits(dir: &Path, range: &str) -> Result<Vec<(String, Vec<u8>)>> {
    ensure!(
        !range.is_empty() && !range.starts_with('-') && !range.chars().any(char::is_control),
        "{range:?} is no range of commits: FROM..TO, or COMMIT^!"
    );
    let list = git(dir, &["rev-list", "--reverse", "--parents", "--max-count=1001", range, "--"])?;
    let list = String::from_utf8_lossy(&list).into_owned();
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split(' ').collect()).collect();
    ensure!(!lines.is_empty(), "{range} in {} holds no commit", dir.display());
    ensure!(lines.len() <= MOST, "{range} in {} holds more than {MOST} commits: name the fixes only", dir.display());
    if let Some(merge) = lines.iter().find(|line| line.len() > 2) {
        anyhow::bail!("{} in {range} is a merge: name ranges of plain commits, one after the other", merge[0]);
    }
    lines.iter().map(|line| commit(dir, line[0])).collect()
}

fn commit(dir: &Path, sha: &str) -> Result<(String, Vec<u8>)> {
    // `show` reads one commit, a first one too; the options take away what a user's configuration would add.
    let options = [
        "show",
        "--format=email",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--no-renames",
        "--unified=3",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        "--full-index",
        "--no-notes",
        "--no-show-signature",
        "--diff-algorithm=default",
    ];
    let bytes = git(dir, &[&options[..], &[sha, "--"]].concat())?;
    ensure!(bytes.len() as u64 <= patchfile::MAX_BYTES, "{sha} is larger than {} MiB", patchfile::MAX_BYTES >> 20);
    let title = title::title(&bytes).unwrap_or_default();
    let short = sha.get(..12).unwrap_or(sha);
    Ok((format!("{}-{short}.patch", word(&title.to_lowercase(), 60)), bytes))
}

/// What git prints, within the limits of a tool.
fn git(dir: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let mut git = tied("git");
    // Neither programs that a repository's configuration names, nor other machines that it may fetch from.
    git.args([
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "protocol.allow=never",
        "--no-pager",
    ]);
    git.arg("-C").arg(dir).args(args).env_remove("GIT_EXTERNAL_DIFF");
    git.envs([("GIT_OPTIONAL_LOCKS", "0"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_NO_LAZY_FETCH", "1")]);
    let out = within(&mut git, "git", &Limits::of_tools())?;
    let said = String::from_utf8_lossy(&out.stderr);
    let last = said.lines().last().unwrap_or("it says nothing");
    ensure!(
        out.status.success(),
        "git cannot read {} in {}: {last}",
        args.iter().rev().nth(1).unwrap_or(&""),
        dir.display()
    );
    Ok(out.stdout)
}
