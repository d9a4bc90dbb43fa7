// SPDX-License-Identifier: GPL-2.0-or-later
//! Cuts real upstream fixes out of the difference of two source packages: a `cut.toml` in, a patch out that
//! belongs to the target's source, or the word that the target has the fix already.
//!
//! The repository says where to cut and what has to come out (a checksum), and holds no code of others.

use crate::applies::{self, Stand};
use crate::scenario::Scenario;
use crate::series::Series;
use crate::upstream::{self, Source};
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::files;
use kmend_builder::target::Target;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name under which a scenario finds its cut fix.
pub const FIX: &str = "cut.patch";

/// Where a fix is cut.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The line of the newer package's changelog that names the fix.
    pub changelog: String,
    /// The source package, `linux-source-7.2`.
    pub package: String,
    /// Where it is not in yet.
    pub from: Version,
    /// Where it is in.
    pub to: Version,
    /// The files it touches.
    #[serde(rename = "file")]
    pub files: Vec<File>,
    /// SHA-256 of the patch that comes out.
    pub sha256: String,
}

/// A version of the package, and the suite that has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The suite: `forky`.
    pub suite: String,
    /// The version: `7.2.12-1`.
    pub version: String,
    /// An archive that has it, where the machine's own sources no longer do.
    pub mirror: Option<String>,
}

/// A file that the fix touches.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its path in the tree.
    pub path: String,
    /// Which hunks belong to the fix, from 1, where not all do.
    pub hunks: Option<Vec<usize>>,
}

/// Reads the `cut.toml` of a scenario's folder, or its `cut-SERIES.toml` where several stable series have got the fix and
/// the target, whose `release` is named, is of one of them. None where there is neither.
pub fn load(dir: &Path, release: &str) -> Result<Option<Cut>> {
    let of_series = Series::of(release).map(|series| dir.join(format!("cut-{series}.toml")));
    let Some(file) = of_series.into_iter().chain([dir.join("cut.toml")]).find(|file| file.exists()) else {
        return Ok(None);
    };
    let cut: Cut =
        toml::from_str(&files::read_text(&file)?).with_context(|| format!("{}: not a cut", file.display()))?;
    for f in &cut.files {
        let clean = !f.path.starts_with('/') && !f.path.split('/').any(|part| part == ".." || part.is_empty());
        ensure!(clean, "{}: `{}` is no path inside a kernel tree", file.display(), f.path);
    }
    Ok(Some(cut))
}

/// What became of a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The folder that holds [`FIX`].
    Cut(PathBuf),
    /// The target's source has the fix already.
    Already,
    /// It is from another series than the target's, and the code is another there; the text says so.
    Other(String),
    /// There is no fix for the target; the text says why.
    Failed(String),
}

/// Cuts for all scenarios that have a `cut.toml`, and looks whether the target's source takes the fixes.
pub fn cut_all(scenarios: &[Scenario], target: &Target, out: &Path) -> BTreeMap<String, Done> {
    let mut cuts: BTreeMap<String, Result<Cut, String>> = BTreeMap::new();
    for s in scenarios {
        match load(&s.dir, &target.release) {
            Ok(Some(cut)) => drop(cuts.insert(s.name.clone(), Ok(cut))),
            Ok(None) => {}
            Err(error) => drop(cuts.insert(s.name.clone(), Err(format!("{error:#}")))),
        }
    }
    let sources = fetch_all(cuts.values().filter_map(|c| c.as_ref().ok()), target);
    let write = |name: &str, cut: &Cut| -> Result<PathBuf> {
        let patch = make(cut, target, &sources)?;
        check_sum(cut, &patch)?;
        let folder = out.join(name);
        files::write(&folder.join(FIX), patch.as_bytes())?;
        Ok(folder)
    };
    let done = |name: &str, cut: Result<Cut, String>| {
        let package = &cut.as_ref().map(|cut| cut.package.clone()).unwrap_or_default();
        let folder = cut.and_then(|cut| write(name, &cut).map_err(|error| moved_on(name, &cut, &error)));
        folder.map_or_else(Done::Failed, |folder| belongs(target, folder, package))
    };
    cuts.into_iter().map(|(name, cut)| (name.clone(), done(&name, cut))).collect()
}

/// Whether the target's source takes the fix in `folder`.
fn belongs(target: &Target, folder: PathBuf, package: &str) -> Done {
    match applies::look(&target.tree, &folder.join(FIX)) {
        Ok(Stand::Fits) => Done::Cut(folder),
        Ok(Stand::Already) => Done::Already,
        Ok(Stand::No(_)) if Series::of(package) != Series::of(&target.release) => {
            Done::Other(format!("from another series, with other code here: cut from {package}"))
        }
        Ok(Stand::No(said)) => {
            let (name, version) = (&target.name, &target.release);
            Done::Failed(format!("the fix that was cut does not apply to the source of {name} ({version}):\n{said}"))
        }
        Err(error) => Done::Failed(format!("{error:#}")),
    }
}

/// Cuts one fix and returns it with its checksum, whatever `cut.toml` says about the latter.
pub fn show(scenario: &Scenario, target: &Target) -> Result<(String, String)> {
    let cut = load(&scenario.dir, &target.release)?;
    let cut = cut.with_context(|| format!("{} has no cut.toml for {}", scenario.dir.display(), target.release))?;
    let patch = make(&cut, target, &fetch_all([&cut].into_iter(), target))?;
    let sum = files::sha256(patch.as_bytes());
    Ok((patch, sum))
}

/// Fetches what the cut of `scenario` takes beside a target of the older version, before there is that target.
///
/// # Errors
/// There is no cut; its package cannot be had.
pub fn fetch_newer(scenario: &Scenario) -> Result<()> {
    let cut = load(&scenario.dir, "")?.with_context(|| format!("{} has no cut.toml", scenario.dir.display()))?;
    let paths = cut.files.iter().map(|f| f.path.clone()).collect();
    upstream::fetch(&cut.package, &cut.to, &paths).map(|_| ())
}

type Sources = BTreeMap<(String, Version), Result<Source, String>>;

/// Each package once, with all the files that are wanted of it; not the one that the target is made of.
fn fetch_all<'a>(cuts: impl Iterator<Item = &'a Cut>, target: &Target) -> Sources {
    let mut wanted: BTreeMap<(String, Version), BTreeSet<String>> = BTreeMap::new();
    for cut in cuts {
        let older = Some(&cut.from).filter(|from| !is_of(target, from));
        for version in older.into_iter().chain([&cut.to]) {
            let paths = wanted.entry((cut.package.clone(), version.clone())).or_default();
            paths.extend(cut.files.iter().map(|f| f.path.clone()));
        }
    }
    let fetch = |(package, version): &(String, Version), paths: &BTreeSet<String>| {
        upstream::fetch(package, version, paths).map_err(|error| format!("{error:#}"))
    };
    wanted.into_iter().map(|(key, paths)| (key.clone(), fetch(&key, &paths))).collect()
}

/// Whether the target's source is that of a package's version.
fn is_of(target: &Target, version: &Version) -> bool {
    target.version == version.version
}

fn make(cut: &Cut, target: &Target, sources: &Sources) -> Result<String> {
    let fetched = |version: &Version| match sources.get(&(cut.package.clone(), version.clone())) {
        Some(Ok(source)) => Ok(source),
        Some(Err(reason)) => bail!("{reason}"),
        None => bail!("{} {} was not fetched", cut.package, version.version),
    };
    let newer = fetched(&cut.to)?;
    ensure!(
        newer.names(&cut.changelog),
        "the changelog of {} {} has no line `{}`",
        cut.package,
        cut.to.version,
        cut.changelog
    );
    let mut patch = format!(
        "Subject: {}\n\nCut from the difference of {} {} and {}.\n\n",
        cut.changelog, cut.package, cut.from.version, cut.to.version
    );
    for file in &cut.files {
        let older = match is_of(target, &cut.from) {
            true => target.tree.join(&file.path),
            false => fetched(&cut.from)?.file(&file.path),
        };
        let text = diff(&older, &newer.file(&file.path), &file.path)?;
        patch += &select(&text, file.hunks.as_deref()).with_context(|| file.path.clone())?;
    }
    Ok(patch)
}

fn check_sum(cut: &Cut, patch: &str) -> Result<()> {
    let sum = files::sha256(patch.as_bytes());
    ensure!(
        sum == cut.sha256,
        "what was cut is not what cut.toml names: its SHA-256 is {sum}, and not {}:\n{}",
        cut.sha256,
        patch.lines().map(|l| format!("    {l}\n")).collect::<String>()
    );
    Ok(())
}

fn moved_on(name: &str, cut: &Cut, error: &anyhow::Error) -> String {
    format!(
        "cannot cut the fix `{}` between {} {} ({}) and {} ({}): {error:#}\n\
         When the suites have moved on: in qemu-tests/real/{name}/cut.toml, name an archive that still has the \
         version (`mirror = \"URI\"` beside it) or another pair and fix;\n\
         `cargo run -p qemu-tests -- --cut {name}` then shows the patch and the checksum to write there.",
        cut.changelog, cut.package, cut.from.version, cut.from.suite, cut.to.version, cut.to.suite
    )
}

/// The unified difference of two files under the name `path`.
///
/// # Errors
/// Files that are not there, are not text, or do not differ.
pub fn diff(older: &Path, newer: &Path, path: &str) -> Result<String> {
    for side in [older, newer] {
        ensure!(side.is_file(), "there is no {}", side.display());
    }
    let out = Command::new("diff")
        .args(["-u", "--label", &format!("a/{path}"), "--label", &format!("b/{path}")])
        .args([older, newer])
        .env("LC_ALL", "C")
        .output()
        .context("cannot start diff: install diffutils")?;
    match out.status.code() {
        Some(1) => String::from_utf8(out.stdout).with_context(|| format!("the difference in {path} is not text")),
        Some(0) => bail!("{path} does not differ between the two versions"),
        _ => bail!("diff failed on {path}: {}", String::from_utf8_lossy(&out.stderr).trim()),
    }
}

/// The hunks of a one-file diff that are wanted, counted from 1, with the new file's line numbers put right.
///
/// # Errors
/// A hunk that is not there.
pub fn select(diff: &str, wanted: Option<&[usize]>) -> Result<String> {
    let Some(wanted) = wanted else { return Ok(diff.into()) };
    let starts: Vec<usize> =
        diff.match_indices("@@ ").map(|(at, _)| at).filter(|at| *at == 0 || diff.as_bytes()[at - 1] == b'\n').collect();
    let Some(first) = starts.first() else { bail!("the diff has no hunks") };
    let mut text = diff[..*first].to_string();
    let mut shift = 0;
    for n in wanted {
        let start = n.checked_sub(1).and_then(|i| starts.get(i));
        let Some(start) = start else { bail!("there is no hunk {n}: there are {}", starts.len()) };
        let end = starts.get(*n).copied().unwrap_or(diff.len());
        let (header, body) = diff[*start..end].split_once('\n').context("a hunk without lines")?;
        let ((old, old_lines), (_, new_lines)) = ranges(header).with_context(|| format!("`{header}`"))?;
        text += &format!("@@ -{old},{old_lines} +{},{new_lines} @@\n{body}", old + shift);
        shift += new_lines - old_lines;
    }
    Ok(text)
}

type Range = (i64, i64);

/// Start and length of both sides in `@@ -a,b +c,d @@`; a length that is left out is 1.
fn ranges(header: &str) -> Option<(Range, Range)> {
    let mut words = header.split(' ').skip(1);
    let mut range = |sign: char| -> Option<Range> {
        let word = words.next()?.strip_prefix(sign)?;
        let (start, lines) = word.split_once(',').unwrap_or((word, "1"));
        Some((start.parse().ok()?, lines.parse().ok()?))
    };
    Some((range('-')?, range('+')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str =
        "--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n a\n+b\n c\n@@ -10 +11,2 @@\n x\n+y\n@@ -20,2 +22 @@\n-@@ p\n q\n";

    #[test]
    fn left_out_hunks_shift_nothing() {
        let text = select(DIFF, Some(&[2, 3])).expect("selects");
        assert_eq!(text, "--- a/f\n+++ b/f\n@@ -10,1 +10,2 @@\n x\n+y\n@@ -20,2 +21,1 @@\n-@@ p\n q\n");
        assert_eq!(select(DIFF, None).expect("selects"), DIFF);
        let message = select(DIFF, Some(&[4])).expect_err("no such hunk").to_string();
        assert!(message.contains("no hunk 4: there are 3"), "{message}");
    }

    #[test]
    fn a_cut_names_paths_inside_the_tree() {
        let dir = tempfile::tempdir().expect("tempdir");
        let text = "changelog = \"c\"\npackage = \"p\"\nfrom = { suite = \"a\", version = \"1\" }\n\
                    to = { suite = \"b\", version = \"2\" }\nsha256 = \"0\"\n[[file]]\npath = \"../x.c\"\n";
        std::fs::write(dir.path().join("cut.toml"), text).expect("write");
        let message = load(dir.path(), "7.2").expect_err("outside").to_string();
        assert!(message.contains("no path inside"), "{message}");
        std::fs::write(dir.path().join("cut.toml"), text.replace("../", "net/")).expect("write");
        let path = |release| load(dir.path(), release).expect("reads").expect("is there").files[0].path.clone();
        std::fs::write(dir.path().join("cut-6.1.toml"), text.replace("../", "fs/")).expect("write");
        assert_eq!([path("7.2.12"), path("6.12.1"), path("6.1.0-50")], ["net/x.c", "net/x.c", "fs/x.c"]);
    }
}
