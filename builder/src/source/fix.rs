// SPDX-License-Identifier: GPL-2.0-or-later
//! Fixes as the user passes them: patch files in; out, each commit of them with its title, its sum and its diffs.

use super::patchfile::{self, FileDiff};
use super::{mails, refuse, sum, title};
use crate::{files, unpack};
use anyhow::{anyhow, bail, Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A patch file with more commits than this is refused.
const MAX_COMMITS: usize = 1000;

/// One fix: a commit of a patch file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fix {
    /// The patch file's name, without folders.
    pub file: String,
    /// Which of the commits in that file it is, from 1; None where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<usize>,
    /// Its title: the Subject line, else the file's name.
    pub title: String,
    /// SHA-256 of the patch file. Not in the copy inside of the module.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// SHA-256 of its hunks and their paths ([`sum`]); empty in the manifests of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hunks_sha256: String,
    /// What it does to the kernel that the live patch is for; None in the manifests of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Why it does nothing, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// CVEs that it fixes, as its stream says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cves: Vec<String>,
    /// How bad they are: `critical`, `important`, `moderate`, `low`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Tickets about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tickets: Vec<String>,
    /// The version of the stream that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// What a fix does to one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The live patch replaces functions whose code the fix changes.
    Live,
    /// The kernel is built without what the fix changes.
    NotBuilt,
    /// What the fix changes compiles to the same code.
    SameCode,
    /// Later fixes take back what it changes, or a macro leaves it out (KPATCH_IGNORE_FUNCTION): it is not fixed.
    Undone,
}

impl Effect {
    /// Whether the kernel does without the fix: it has no code that the fix would change.
    pub fn is_not_concerned(self) -> bool {
        matches!(self, Self::NotBuilt | Self::SameCode)
    }
}

impl Fix {
    /// What is said of a fix that is not in the live patch: `does not concern this kernel: …`, `not fixed: …`; None
    /// where it is, or where that is not known.
    pub fn missing(&self) -> Option<String> {
        let effect = self.effect.filter(|effect| *effect != Effect::Live)?;
        let word = if effect.is_not_concerned() { "does not concern this kernel" } else { "not fixed" };
        Some(format!("{word}: {}", self.reason.as_deref().unwrap_or("no reason is known")))
    }

    /// Whether its CVEs count as fixed by the live patch: it is there, or the manifest is an old one that does not tell.
    pub fn is_live(&self) -> bool {
        self.effect.is_none_or(|effect| effect == Effect::Live)
    }
}

/// One fix with what it changes.
#[derive(Clone, Debug)]
pub struct Part {
    /// What is said of it.
    pub fix: Fix,
    /// What it changes; line numbers are those of the patch file.
    pub diffs: Vec<FileDiff>,
    /// CVEs that its message names.
    pub named: Vec<String>,
}

/// The commits of the patch file at `path`, which may be packed ([`unpack`]), in order; of `commit` (from 1), that one alone.
///
/// # Errors
/// [`crate::error::Refused`] where it is no patch that can be used; a file that cannot be read, a commit that is not there.
pub fn read(path: &Path, commit: Option<usize>) -> Result<Vec<Part>> {
    let file = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let meta = std::fs::metadata(path).with_context(|| format!("cannot read the fix {}", path.display()))?;
    if !meta.is_file() {
        bail!("the fix {} is not a file: name patch files", path.display());
    }
    if meta.len() > patchfile::MAX_BYTES {
        let reason = format!(
            "the patch file is {} MiB large; the limit is {} MiB",
            meta.len().div_ceil(1 << 20),
            patchfile::MAX_BYTES >> 20
        );
        return refuse("patch-too-large", &file, reason, "pass only the fix, not a whole release");
    }
    let raw = files::read_at_most(path, patchfile::MAX_BYTES)?;
    let bytes = unpack::unpacked(path, raw, patchfile::MAX_BYTES)
        .map_err(|why| anyhow!("{why:#}; pass the fix uncompressed, or compress it again"))?;
    let mut parts = match parts(&file, &bytes) {
        Ok(parts) => parts,
        Err(fault) => {
            let place = if fault.line == 0 { file } else { format!("{file}, line {}", fault.line) };
            return refuse(fault.code, &place, fault.reason, fault.hint);
        }
    };
    let Some(commit) = commit else { return Ok(parts) };
    let all = parts.len();
    match commit.checked_sub(1).filter(|at| *at < all) {
        Some(at) => Ok(vec![parts.swap_remove(at)]),
        None => bail!("the fix {} has no commit {commit}: it has {all}", path.display()),
    }
}

/// The commits in the bytes of the patch file `file`.
///
/// # Errors
/// The first fault of any of them.
pub fn parts(file: &str, bytes: &[u8]) -> Result<Vec<Part>, patchfile::Fault> {
    let mails = mails::split(bytes);
    if mails.len() > MAX_COMMITS {
        let reason = format!("it holds {} commits; at most {MAX_COMMITS} are possible", mails.len());
        let hint = "pass only the fixes, not a whole release";
        return Err(patchfile::Fault { line: 0, code: "patch-too-large", reason, hint });
    }
    let (sha256, many) = (files::sha256(bytes), mails.len() > 1);
    let part = |(n, mail): (usize, mails::Mail)| {
        let text = &bytes[mail.bytes];
        let mut diffs = patchfile::read(text).map_err(|fault| match fault.line {
            0 if !many => fault,
            0 => patchfile::Fault { line: mail.lines + 1, ..fault },
            line => patchfile::Fault { line: line + mail.lines, ..fault },
        })?;
        let sum = sum::of_hunks(&diffs);
        for diff in &mut diffs {
            diff.line += mail.lines;
            diff.hunks.iter_mut().for_each(|hunk| hunk.line += mail.lines);
        }
        let named = match many {
            true => format!("{file}, commit {}", n + 1),
            false => file.into(),
        };
        let fix = Fix {
            file: file.into(),
            commit: many.then_some(n + 1),
            title: title::title(text).unwrap_or(named),
            sha256: sha256.clone(),
            hunks_sha256: sum,
            ..Fix::default()
        };
        Ok(Part { fix, diffs, named: mails::cves(&mails::message(text)) })
    };
    mails.into_iter().enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(subject: &str, added: &str) -> String {
        format!(
            "From 0123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: {subject}\n\n---\n--- a/fs/f.c\n+++ \
             b/fs/f.c\n@@ -1,2 +1,3 @@\n a\n+{added}\n b\n-- \n2.39\n\n"
        )
    }

    #[test]
    fn each_commit_is_a_fix_of_its_own() {
        let one = mail("[PATCH 1/3] f: one", "x");
        let lines = one.lines().count();
        let all = one.clone() + &mail("[PATCH 2/3] f: two\n\nIt fixes CVE-2026-1234.", "y") + &mail("", "z");
        let found = parts("s.mbox", all.as_bytes()).unwrap();
        let told: Vec<_> = found.iter().map(|p| (p.fix.title.as_str(), p.fix.commit, p.diffs[0].line)).collect();
        assert_eq!(
            told,
            [("f: one", Some(1), 6), ("f: two", Some(2), 8 + lines), ("s.mbox, commit 3", Some(3), 8 + 2 * lines)]
        );
        assert_eq!(found.iter().map(|p| p.named.len()).collect::<Vec<_>>(), [0, 1, 0]);
        assert_eq!(found[0].fix.hunks_sha256, parts("a.patch", one.as_bytes()).unwrap()[0].fix.hunks_sha256);
        assert_ne!(found[0].fix.hunks_sha256, found[1].fix.hunks_sha256);
        assert!(found.iter().all(|p| p.fix.sha256 == files::sha256(all.as_bytes())));
        assert_eq!(parts("a.patch", one.as_bytes()).unwrap()[0].fix.commit, None);
    }

    #[test]
    fn faults_have_the_line_of_the_file() {
        let one = mail("one", "x");
        let bad = one.clone() + &mail("two", "y").replace("-1,2", "-1,9");
        let fault = parts("s.mbox", bad.as_bytes()).unwrap_err();
        assert!(fault.line > one.lines().count(), "{fault:?}");
        assert_eq!(parts("s.mbox", b"").unwrap_err().line, 0);
        let many = one.repeat(MAX_COMMITS + 1);
        assert_eq!(parts("s.mbox", many.as_bytes()).unwrap_err().code, "patch-too-large");
    }

    #[test]
    fn one_of_them_can_be_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.mbox");
        std::fs::write(&path, mail("one", "x") + &mail("two", "y")).unwrap();
        let titles = |commit| read(&path, commit).map(|p| p.into_iter().map(|p| p.fix.title).collect::<Vec<_>>());
        assert_eq!(titles(None).unwrap(), ["one", "two"]);
        assert_eq!(titles(Some(2)).unwrap(), ["two"]);
        assert!(titles(Some(3)).unwrap_err().to_string().contains("no commit 3: it has 2"));
        assert!(titles(Some(0)).is_err());
    }
}
