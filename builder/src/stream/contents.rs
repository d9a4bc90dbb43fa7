// SPDX-License-Identifier: GPL-2.0-or-later
//! What the ledgers tell of a repository against what lies in it: ledgers and a folder in, refusals out. An index vouches for all
//! packages of its folder, so each of them has to be one that was released, as it was released.

use super::ledger::Ledger;
use crate::error::{Ended, Refusal};
use crate::files;
use crate::manifest::FileFacts;
use anyhow::{Context, Result};
use kmend_packager::{redhat, Key};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A package that is larger is none of a live patch.
const LARGEST: u64 = 1 << 30;
/// What can be done for a package that is missing or changed.
const RESTORE: &str =
    "restore the released file from a mirror or a backup; or remove it and release with --restore, which builds it \
     again";

/// Compares what lies in `folder` with `ledgers`. Of the packages `made`, which are made in this run, those that are missing and
/// those that no ledger knows are passed over. With `key`, an RPM may still lack the signature that its ledger tells of.
///
/// # Errors
/// [`Ended`], where they differ; a folder that cannot be read.
pub fn check(folder: &Path, ledgers: &[&Ledger], made: &BTreeSet<String>, key: Option<&Key>) -> Result<()> {
    let known = known(ledgers);
    let mut refusals = Vec::new();
    for (file, (facts, whose)) in &known {
        refusals.extend(against(folder, facts, whose, made.contains(*file), key));
    }
    for name in packages(folder)? {
        if !known.contains_key(name.as_str()) && !made.contains(&name) {
            let reason = "the package is in the repository, but in no ledger: the index would vouch for it";
            let hint = "remove it; if it belongs to another stream, name that stream's file with --other-stream; if \
                 hosts are to get it from here, name it with --adopt";
            refusals.push(Refusal::new("repository-package-foreign", &name, "", reason.into(), hint));
        }
    }
    if refusals.is_empty() {
        return Ok(());
    }
    Err(Ended::repository_differs(folder, refusals).into())
}

type Known<'a> = BTreeMap<&'a str, (&'a FileFacts, String)>;

/// All packages that the ledgers tell of, and of which version of what they are.
fn known<'a>(ledgers: &[&'a Ledger]) -> Known<'a> {
    let mut known = Known::new();
    for ledger in ledgers {
        for (target, entry) in ledger.kernels.iter().flat_map(|(t, entries)| entries.iter().map(move |e| (t, e))) {
            let whose = format!("{} {} for {target}", ledger.stream, entry.version);
            known.extend(entry.packages.iter().map(|p| (p.file.as_str(), (p, whose.clone()))));
        }
        let others = ledger.others.iter().flatten();
        known.extend(others.map(|p| (p.file.as_str(), (p, ledger.stream.clone()))));
    }
    known
}

fn against(folder: &Path, facts: &FileFacts, whose: &str, made: bool, key: Option<&Key>) -> Option<Refusal> {
    let refusal = |code: &str, reason: String| Some(Refusal::new(code, &facts.file, "", reason, RESTORE));
    let changed = |reason: String| refusal("repository-package-changed", reason);
    if !is_plain(&facts.file) {
        return changed(format!("the ledger of {whose} names a file outside of the repository"));
    }
    let path = folder.join(&facts.file);
    match std::fs::symlink_metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let reason = format!("the package of {whose} is not in the repository");
            return if made { None } else { refusal("repository-package-missing", reason) };
        }
        Ok(about) if !about.is_file() => return changed(format!("the package of {whose} is no regular file")),
        _ => {}
    }
    let bytes = match files::read_at_most(&path, LARGEST) {
        Ok(bytes) => bytes,
        Err(error) => return changed(format!("the package of {whose} cannot be read: {error:#}")),
    };
    let sum = files::sha256(&bytes);
    let is_signed_later = || {
        let key = key.filter(|_| facts.file.ends_with(".rpm"))?;
        Some(files::sha256(&redhat::sign(&bytes, key).ok()?) == facts.sha256)
    };
    if sum == facts.sha256 || is_signed_later() == Some(true) {
        return None;
    }
    changed(format!("the package of {whose} was released with SHA-256 {} and now has {sum}", facts.sha256))
}

/// A name without a folder.
pub fn is_plain(file: &str) -> bool {
    Path::new(file).file_name().is_some_and(|name| name == file)
}

/// The names of the packages in `folder` that an index would tell of; none where it is not there.
///
/// # Errors
/// It cannot be read.
pub fn packages(folder: &Path) -> Result<Vec<String>> {
    let cannot = || format!("cannot read the repository {}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(cannot)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.with_context(cannot)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && (name.ends_with(".rpm") || name.ends_with(".deb")) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The facts of the package `name` in `folder`.
///
/// # Errors
/// It is no package there.
pub fn facts(folder: &Path, name: &str) -> Result<FileFacts> {
    anyhow::ensure!(
        is_plain(name) && (name.ends_with(".rpm") || name.ends_with(".deb")),
        "{name:?} is no name of a package in the repository: give the file's name, without a folder"
    );
    let bytes = files::read_at_most(&folder.join(name), LARGEST)?;
    Ok(FileFacts { file: name.into(), sha256: files::sha256(&bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn ledger(others: &[(&str, &str)]) -> Ledger {
        let facts =
            |(file, text): &(&str, &str)| FileFacts { file: (*file).into(), sha256: files::sha256(text.as_bytes()) };
        let mut ledger = Ledger::empty("s");
        ledger.others = Some(others.iter().map(facts).collect());
        ledger
    }

    fn codes(folder: &Path, ledgers: &[&Ledger], made: &[&str]) -> Vec<(String, String)> {
        let made = made.iter().map(ToString::to_string).collect();
        let Err(error) = check(folder, ledgers, &made, None) else { return Vec::new() };
        let differs: Ended = error.downcast().unwrap();
        differs.refusals.into_iter().map(|r| (r.code, r.symbol)).collect()
    }

    #[test]
    fn each_difference_has_its_code() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("a.deb", "a");
        put("b.rpm", "b");
        put("Packages", "");
        put(".hidden.deb", "");
        let own = ledger(&[("a.deb", "a"), ("b.rpm", "b")]);
        assert_eq!(codes(dir.path(), &[&own], &[]), []);
        put("b.rpm", "c");
        put("c.deb", "c");
        fs::remove_file(dir.path().join("a.deb")).unwrap();
        let is = |code: &str, file: &str| (format!("repository-package-{code}"), file.to_string());
        let all = [is("missing", "a.deb"), is("changed", "b.rpm"), is("foreign", "c.deb")];
        assert_eq!(codes(dir.path(), &[&own], &[]), all);
        // What is made in this run may be missing or there; it may not be changed.
        assert_eq!(codes(dir.path(), &[&own], &["a.deb", "b.rpm", "c.deb"]), all[1..2]);
        // Another stream's.
        assert_eq!(codes(dir.path(), &[&own, &ledger(&[("c.deb", "c")])], &[]), all[..2]);
        fs::remove_file(dir.path().join("b.rpm")).unwrap();
        std::os::unix::fs::symlink("c.deb", dir.path().join("b.rpm")).unwrap();
        assert_eq!(codes(dir.path(), &[&own], &["a.deb", "c.deb"]), all[1..2]);
        let outside = ledger(&[("../x.deb", "x")]);
        assert_eq!(codes(&dir.path().join("none"), &[&outside], &[]), [is("changed", "../x.deb")]);
    }
}
