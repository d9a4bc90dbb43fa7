// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage source: fix files and a target's tree in, the touched files as the fixes leave them out. The tree stays as it is.

pub mod fix;
pub mod fixed;
pub mod lines;
pub mod mails;
mod misfit;
pub mod patchfile;
pub mod skeleton;
pub mod sum;
pub mod title;

use crate::error::{Refusal, Refused};
use crate::files;
use crate::target::Target;
use anyhow::{bail, Context, Result};
pub use fix::{Effect, Fix, Part};
use patchfile::FileDiff;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file that the fixes touch; paths are relative to the tree.
#[derive(Clone, Debug)]
pub struct TouchedFile {
    /// None for a file that the fixes add.
    pub original: Option<Vec<u8>>,
    /// None for a file that the fixes delete. Line numbers are kept with #line directives.
    pub patched: Option<Vec<u8>>,
}

/// The tree as the fixes leave it: only the touched files, all others are the target's own.
#[derive(Debug)]
pub struct PatchedTree {
    /// Touched files by path relative to the tree.
    pub files: BTreeMap<String, TouchedFile>,
    /// The fixes in order.
    pub fixes: Vec<Fix>,
    /// The files that each of them touches.
    pub touches: Vec<BTreeSet<String>>,
    /// Folder that holds the patched files under their tree paths, to be laid over the tree.
    pub overlay: PathBuf,
    /// What a person should know: hunks that were found elsewhere than the fix says.
    pub notes: Vec<String>,
}

impl PatchedTree {
    /// The fixes' titles in one line, for messages.
    pub fn titles(&self) -> String {
        self.fixes.iter().map(|f| f.title.as_str()).collect::<Vec<_>>().join("; ")
    }
}

/// A file while the fixes are applied to it.
struct Current {
    /// None for one that a fix adds.
    original: Option<Vec<u8>>,
    /// None for one that a fix deletes.
    now: Option<Vec<u8>>,
}

/// Applies the commits of `fixes` in order, each on top of those before it, to copies in `work` of the files they touch.
pub fn apply(target: &Target, fixes: &[PathBuf], work: &Path) -> Result<PatchedTree> {
    let parts = fixes.iter().map(|path| fix::read(path, None)).collect::<Result<Vec<_>>>()?.concat();
    apply_parts(target, &parts, work)
}

/// The same for fixes that were read before.
pub fn apply_parts(target: &Target, parts: &[Part], work: &Path) -> Result<PatchedTree> {
    if parts.is_empty() {
        bail!("no fix was given: name at least one patch file");
    }
    let scratch = work.join("apply");
    std::fs::create_dir_all(&scratch).with_context(|| format!("cannot make folder {}", scratch.display()))?;
    let mut current: BTreeMap<String, Current> = BTreeMap::new();
    let mut touches = Vec::new();
    let mut notes = Vec::new();
    for Part { fix, diffs, .. } in parts {
        let mut refusals = Vec::new();
        let mut touched = BTreeSet::new();
        for diff in diffs {
            match apply_one(target, fix, diff, &mut current, &scratch)? {
                Ok((path, more)) => {
                    touched.insert(path);
                    notes.extend(more);
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        if !refusals.is_empty() {
            return Err(Refused(refusals).into());
        }
        touches.push(touched);
    }
    let overlay = work.join("patched");
    let mut touched = BTreeMap::new();
    for (path, file) in current {
        let patched = match (&file.original, file.now) {
            (Some(original), Some(now)) if is_c(&path) => Some(lines::keep_numbers(original, &now)),
            (_, now) => now,
        };
        if let Some(patched) = &patched {
            files::write(&overlay.join(&path), patched)?;
        }
        touched.insert(path, TouchedFile { original: file.original, patched });
    }
    let fixes = parts.iter().map(|part| part.fix.clone()).collect();
    Ok(PatchedTree { files: touched, fixes, touches, overlay, notes })
}

fn is_c(path: &str) -> bool {
    path.ends_with(".c") || path.ends_with(".h")
}

fn refuse<T>(code: &str, place: &str, reason: String, hint: &str) -> Result<T> {
    Err(Refused(vec![Refusal::new(code, "", place, reason, hint)]).into())
}

/// Applies one file's diff: the file's path in the tree, and what a person should know. The outer error is ours, the inner one the author's.
fn apply_one(
    target: &Target,
    fix: &Fix,
    diff: &FileDiff,
    current: &mut BTreeMap<String, Current>,
    scratch: &Path,
) -> Result<Result<(String, Vec<String>), Refusal>> {
    let place = format!("{}, line {}", fix.file, diff.line);
    let no = |code: &str, reason: String, hint: &str| Ok(Err(Refusal::new(code, "", &place, reason, hint)));
    let exists = |p: &str| current.get(p).map_or_else(|| target.tree.join(p).is_file(), |c| c.now.is_some());
    let Some(path) = tree_path(diff, &exists) else {
        let name = diff.old.as_deref().or(diff.new.as_deref()).unwrap_or_default();
        let same = diff.old.as_deref().map(strip_one) == diff.new.as_deref().map(strip_one);
        if !same && diff.old.is_some() && diff.new.is_some() {
            let reason = format!("it renames {name} to {}", diff.new.as_deref().unwrap_or_default());
            return no("patch-unsupported", reason, "write the fix as a change of the file under its old name");
        }
        let reason = format!("this kernel's source ({}) has no file {name}", target.release);
        return no("patch-does-not-apply", reason, "the fix is for another version: use its backport to this one");
    };
    if let Some(part) = symlink_on(&target.tree, &path) {
        let reason = format!("{path} is reached through the symbolic link {part}");
        return no("patch-path", reason, "name the file itself in the fix");
    }
    let adds = diff.old.is_none() || (!exists(&path) && diff.hunks[0].old_len == 0);
    if adds {
        let hunk = &diff.hunks[0];
        if diff.hunks.len() != 1 || hunk.old_len != 0 {
            return no("patch-malformed", format!("it adds {path}, but not with one hunk"), "create the patch again");
        }
        if exists(&path) {
            let reason = format!("it adds {path}, which this kernel's source already has");
            return no("patch-already-applied", reason, "this kernel has the fix, or a part of it: leave it out");
        }
        let now: Vec<u8> = hunk.lines_with(b'+').flatten().copied().collect();
        // One that was deleted before comes back.
        let original = current.remove(&path).and_then(|c| c.original);
        current.insert(path.clone(), Current { original, now: Some(now) });
        return Ok(Ok((path, Vec::new())));
    }
    if let Some(bare) = diff.hunks.iter().find(|h| h.lines_with(b' ').chain(h.lines_with(b'-')).next().is_none()) {
        let reason =
            format!("the hunk in line {} adds lines without any context, so its place cannot be checked", bare.line);
        return no("patch-malformed", reason, "create the patch again with three lines of context (diff -U3)");
    }
    let before = match current.get(&path).and_then(|file| file.now.clone()) {
        Some(now) => now,
        None => files::read(&target.tree.join(&path))?,
    };
    match run_patch(&before, diff, &path, scratch)? {
        Applied::Yes(now, moved) => {
            for (number, said) in &moved {
                let Some(hunk) = diff.hunks.get(number.saturating_sub(1)) else { continue };
                let places = occurrences(&before, hunk);
                if places > 1 {
                    let reason = format!(
                        "hunk {number} on {path} (line {} of the patch file) does not fit at its line number, and the lines \
                         that it changes are in {places} places of {path}; the nearest is: {said}",
                        hunk.line
                    );
                    let hint =
                        "create the patch again from this kernel's source, or with more lines of context (diff -U9)";
                    return no("patch-ambiguous", reason, hint);
                }
            }
            if diff.new.is_none() && !now.is_empty() {
                let reason = format!("it deletes {path}, but this kernel's file has more lines");
                return no("patch-does-not-apply", reason, "use the backport of the fix to this kernel's series");
            }
            let now = diff.new.is_some().then_some(now);
            match current.get_mut(&path) {
                Some(file) => file.now = now,
                None => _ = current.insert(path.clone(), Current { original: Some(before), now }),
            }
            let notes = moved.into_iter().map(|(_, said)| format!("{} on {path}: {said}", fix.file)).collect();
            Ok(Ok((path, notes)))
        }
        Applied::Already => no(
            "patch-already-applied",
            format!("this kernel's source already has its change to {path}"),
            "this kernel has the fix, or an earlier fix makes the same change: leave it out",
        ),
        Applied::No(hunk) => {
            let at = &diff.hunks[hunk.min(diff.hunks.len()) - 1];
            let misfit = misfit::misfit(&before, at);
            let lines = misfit.as_ref().map(misfit::Misfit::lines).unwrap_or_default();
            let reason = format!(
                "hunk {hunk} of {} on {path} (line {} of the patch file, for lines {} to {} of the source) does not \
                 apply to the source of {}{lines}",
                diff.hunks.len(),
                at.line,
                at.old_start,
                at.old_start + at.old_len.saturating_sub(1),
                target.release
            );
            let hint = match misfit {
                Some(misfit) if misfit.blanks => {
                    "only blanks, tabs or ends of lines differ, as when a patch was copied out of a terminal or a mail: take \
                     it from a file as git wrote it"
                }
                _ => {
                    "the source differs there: use the backport of the fix to this kernel's series, or add the \
                     fixes that it builds on before it"
                }
            };
            no("patch-does-not-apply", reason, hint)
        }
    }
}

fn strip_one(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, rest)| rest)
}

/// The path in the tree that a diff is about: its names with or without their first folder (`a/`, `linux-7.2/`).
fn tree_path(diff: &FileDiff, exists: &dyn Fn(&str) -> bool) -> Option<String> {
    match (diff.old.as_deref(), diff.new.as_deref()) {
        (Some(old), Some(new)) => {
            let bare = old.strip_suffix(".orig").or(old.strip_suffix('~')).unwrap_or(old);
            let candidates = [(strip_one(bare), strip_one(new)), (bare, new)];
            let mut found = candidates.into_iter().filter(|(o, n)| o == n).map(|(_, n)| n);
            // diff -N names a file that is new on both sides.
            let adds = diff.hunks[0].old_len == 0 && diff.hunks[0].old_start == 0;
            let there = found.clone().find(|n| exists(n));
            there.or_else(|| found.next().filter(|_| adds)).map(Into::into)
        }
        (None, Some(new)) => Some(if TOP.contains(&first(new)) { new } else { strip_one(new) }.into()),
        (Some(old), None) => [strip_one(old), old].into_iter().find(|p| exists(p)).map(Into::into),
        (None, None) => None,
    }
}

/// Top folders of the kernel: a new file is not there to tell where the tree begins in its name.
const TOP: &[&str] = &[
    "arch",
    "block",
    "certs",
    "crypto",
    "drivers",
    "fs",
    "include",
    "init",
    "io_uring",
    "ipc",
    "kernel",
    "lib",
    "mm",
    "net",
    "rust",
    "samples",
    "security",
    "sound",
    "tools",
    "usr",
    "virt",
    "Documentation",
    "scripts",
];

fn first(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

/// The first part of `path` that is a symbolic link in the tree.
fn symlink_on(tree: &Path, path: &str) -> Option<String> {
    let mut at = PathBuf::new();
    path.split('/').find_map(|part| {
        at.push(part);
        let is_link = std::fs::symlink_metadata(tree.join(&at)).is_ok_and(|m| m.file_type().is_symlink());
        is_link.then(|| at.display().to_string())
    })
}

enum Applied {
    /// The new text, and which hunks were found elsewhere than they say: number from 1, patch's words.
    Yes(Vec<u8>, Vec<(usize, String)>),
    /// It is in the text already.
    Already,
    /// The number of the first hunk that does not fit, from 1.
    No(usize),
}

/// Runs `patch` on one text; it gets a diff written anew from what was read, so that it decides nothing by itself.
fn run_patch(before: &[u8], diff: &FileDiff, path: &str, scratch: &Path) -> Result<Applied> {
    let (input, script, output) = (scratch.join("before"), scratch.join("diff"), scratch.join("after"));
    let mut text = format!("--- a/{path}\n+++ b/{path}\n").into_bytes();
    for h in &diff.hunks {
        text.extend(format!("@@ -{},{} +{},{} @@\n", h.old_start, h.old_len, h.new_start, h.new_len).bytes());
        text.extend(&h.body);
    }
    files::write(&input, before)?;
    files::write(&script, &text)?;
    let run = |reverse: bool| -> Result<std::process::Output> {
        let mut c = Command::new("patch");
        // --force: ask nothing, and do not turn the patch around.
        c.args(["--unified", "--fuzz=0", "--force", "--binary", "--no-backup-if-mismatch", "--reject-file=-"]);
        if reverse {
            c.args(["--reverse", "--dry-run"]);
        }
        c.arg("--output").arg(&output).arg("-i").arg(&script).arg(&input);
        c.env("LC_ALL", "C").env_remove("POSIXLY_CORRECT").env_remove("PATCH_GET").stdin(Stdio::null());
        c.output().context("cannot start patch: is it installed? (`make deps` installs what kmend needs)")
    };
    let _ = std::fs::remove_file(&output);
    let out = run(false)?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    match out.status.code() {
        Some(0) => {
            let moved = said.lines().filter(|l| l.starts_with("Hunk #"));
            let moved = moved.map(|l| (hunk_number(l).unwrap_or(1), l.trim_end_matches('.').to_string()));
            let moved: Vec<(usize, String)> = moved.collect();
            let now = files::read(&output)?;
            // A fix that adds lines like those around them also applies where it is in already, a few lines off.
            if !moved.is_empty() && run(true)?.status.success() {
                return Ok(Applied::Already);
            }
            Ok(Applied::Yes(now, moved))
        }
        Some(1) => {
            if run(true)?.status.success() {
                return Ok(Applied::Already);
            }
            let failed = said.lines().find(|l| l.starts_with("Hunk #") && l.contains("FAILED"));
            Ok(Applied::No(failed.and_then(hunk_number).unwrap_or(1)))
        }
        _ => bail!("patch failed on {path} ({}):\n{}", out.status, crate::sandbox::tail(&out)),
    }
}

/// The number in a line of patch's that begins with `Hunk #`.
fn hunk_number(line: &str) -> Option<usize> {
    line["Hunk #".len()..].split(' ').next()?.parse().ok()
}

/// In how many places of `text` the lines are that a hunk wants to find.
fn occurrences(text: &[u8], hunk: &patchfile::Hunk) -> usize {
    let wanted: Vec<&[u8]> = hunk.old_lines().collect();
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    lines.windows(wanted.len().max(1)).filter(|at| *at == wanted).count()
}

#[cfg(test)]
mod tests;
