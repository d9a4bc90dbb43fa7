// SPDX-License-Identifier: GPL-2.0-or-later
//! Files of a linux-source package: package, suite, version and paths in, the unpacked files out, kept in the cache.

use crate::cut::Version;
use anyhow::{bail, Context, Result};
use flate2::read::GzDecoder;
use kmend_builder::target::distro::debian::apt;
use kmend_builder::{files, progress, sandbox};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Some files of one version of a source package.
#[derive(Clone, Debug)]
pub struct Source {
    folder: PathBuf,
    changelog: String,
}

impl Source {
    /// Where the file `path` of the tree is.
    pub fn file(&self, path: &str) -> PathBuf {
        self.folder.join("tree").join(path)
    }

    /// Whether the package's changelog has `line`, however it is broken.
    pub fn names(&self, line: &str) -> bool {
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        squeeze(&self.changelog).contains(&squeeze(line))
    }
}

/// Fetches `package` in `wanted` and unpacks `paths` of it, where the cache lacks them.
pub fn fetch(package: &str, wanted: &Version, paths: &BTreeSet<String>) -> Result<Source> {
    let version = &wanted.version;
    let folder = folder(package, version)?;
    let _lock = files::lock(&folder.with_extension("lock"), "unpacks the same source")?;
    let source = Source { changelog: String::new(), folder };
    let missing: Vec<&str> = paths.iter().map(String::as_str).filter(|p| !source.file(p).exists()).collect();
    let changelog = source.folder.join("changelog.Debian.gz");
    if !missing.is_empty() || !changelog.exists() {
        unpack(package, wanted, &missing, &source.folder)?;
    }
    let mut text = String::new();
    GzDecoder::new(files::read(&changelog)?.as_slice())
        .read_to_string(&mut text)
        .with_context(|| format!("{}: broken", changelog.display()))?;
    Ok(Source { changelog: text, ..source })
}

/// The paths of `tree` for which `wanted` says yes and which have another text in `package` in version `newer`, or are
/// not there; and that version's changed files, as [`fetch`] gives them. Both are kept in the cache.
///
/// # Errors
/// A package that cannot be had or read.
pub fn changed(
    package: &str,
    newer: &Version,
    older: (&str, &Path),
    wanted: fn(&str) -> bool,
) -> Result<(Source, Vec<String>)> {
    let (older_version, tree) = older;
    let escaped = |version: &str| version.replace(':', "%3a");
    let name = format!("{package}_{}_{}.changed", escaped(older_version), escaped(&newer.version));
    let list = files::cache_dir()?.join("upstream").join(name);
    let paths = match files::read_text(&list) {
        Ok(text) => text.lines().map(String::from).collect(),
        Err(_) => compare(package, newer, tree, wanted, &list)?,
    };
    Ok((fetch(package, newer, &paths)?, paths.into_iter().collect()))
}

/// Compares the whole package with `tree`, once, and writes down what differs.
fn compare(
    package: &str,
    newer: &Version,
    tree: &Path,
    wanted: fn(&str) -> bool,
    list: &Path,
) -> Result<BTreeSet<String>> {
    let version = &newer.version;
    let step = progress::step(format!("comparing {package} {version} with {}", tree.display()));
    let home = folder(package, version)?;
    let _lock = files::lock(&home.with_extension("lock"), "unpacks the same source")?;
    let archive = apt::Archive::open(&newer.suite, &apt::machine_arch()?, newer.mirror.as_deref())?;
    let deb = archive.fetch(package, Some(version))?;
    let scratch = scratch_beside(&home)?;
    let tarball = format!("./usr/src/{package}.tar.xz");
    apt::unpack(&deb, scratch.path(), &[&tarball])?;
    // Under the name that the files have in the package, so that tar finds them.
    std::os::unix::fs::symlink(tree, scratch.path().join(package)).context("cannot name the tree")?;
    let paths = differing(&scratch.path().join(&tarball), package, scratch.path(), wanted)?;
    files::write(list, paths.iter().map(|p| format!("{p}\n")).collect::<String>().as_bytes())?;
    step.done(&format!("{} files differ", paths.len()));
    Ok(paths)
}

/// The wanted files of `tarball` that have another text in the folder `package` of `here`, or are not there.
fn differing(tarball: &Path, package: &str, here: &Path, wanted: fn(&str) -> bool) -> Result<BTreeSet<String>> {
    let mut tar = Command::new("tar");
    tar.arg("--diff").arg("-f").arg(tarball).arg("-C").arg(here).env("LC_ALL", "C");
    let out = tar.output().context("cannot start tar")?;
    // 1 and 2 mean that something differs, or is not there.
    let text = [out.stdout.as_slice(), out.stderr.as_slice()].map(|t| String::from_utf8_lossy(t).into_owned()).concat();
    let paths = text.lines().filter_map(|line| {
        let line = line.strip_prefix("tar: ").unwrap_or(line);
        let (path, what) = line.strip_prefix(package)?.strip_prefix('/')?.split_once(": ")?;
        let differs = ["Contents differ", "Size differs"].contains(&what) || what.contains("No such file");
        (differs && wanted(path)).then(|| path.to_string())
    });
    let paths: BTreeSet<String> = paths.collect();
    if out.status.success() || !paths.is_empty() {
        return Ok(paths);
    }
    bail!("cannot compare {} with {}:\n{}", tarball.display(), here.display(), sandbox::tail(&out))
}

/// Where the unpacked files of a version are kept.
fn folder(package: &str, version: &str) -> Result<PathBuf> {
    Ok(files::cache_dir()?.join("upstream").join(format!("{package}_{}", version.replace(':', "%3a"))))
}

fn scratch_beside(folder: &Path) -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(folder.parent().unwrap_or(folder))
        .with_context(|| format!("cannot make a folder beside {}", folder.display()))
}

fn unpack(package: &str, wanted: &Version, paths: &[&str], folder: &Path) -> Result<()> {
    let version = &wanted.version;
    let step = progress::step(format!("unpacking {} files of {package} {version}", paths.len()));
    let arch = apt::machine_arch()?;
    let archive = apt::Archive::open(&wanted.suite, &arch, wanted.mirror.as_deref())?;
    let deb = archive.fetch(package, Some(version))?;
    let scratch = scratch_beside(folder)?;
    let tarball = format!("./usr/src/{package}.tar.xz");
    let changelog = format!("./usr/share/doc/{package}/changelog.Debian.gz");
    apt::unpack(&deb, scratch.path(), &[&tarball, &changelog])?;
    if !paths.is_empty() {
        untar(&scratch.path().join(&tarball), package, paths, scratch.path())
            .with_context(|| format!("{package} {version}: is one of {} not in it?", paths.join(", ")))?;
    }
    for path in paths {
        let data = files::read(&scratch.path().join(package).join(path))?;
        files::write(&folder.join("tree").join(path), &data)?;
    }
    // Last: its presence says that the package was there and whole.
    files::write(&folder.join("changelog.Debian.gz"), &files::read(&scratch.path().join(changelog))?)?;
    step.done("");
    Ok(())
}

fn untar(tarball: &Path, package: &str, paths: &[&str], to: &Path) -> Result<()> {
    if !tarball.is_file() {
        bail!("the package holds no {}", tarball.display());
    }
    let inside: Vec<String> = paths.iter().map(|p| format!("{package}/{p}")).collect();
    let mut tar = Command::new("tar");
    tar.arg("-xJf").arg(tarball).arg("-C").arg(to).args(&inside);
    sandbox::run(&mut tar, "tar").map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_and_the_rest_is_not() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (new, old) = (dir.path().join("new/p"), dir.path().join("old/p"));
        for (file, then, now) in [
            ("a.c", "1", "2"),
            ("net/b.h", "1", "1"),
            ("net/c.c", "", "1"),
            ("net/d.rst", "1", "2"),
            ("net/e.h", "1", "22"),
        ] {
            files::write(&new.join(file), now.as_bytes()).expect("write");
            if !then.is_empty() {
                files::write(&old.join(file), then.as_bytes()).expect("write");
            }
        }
        let tarball = dir.path().join("p.tar");
        let mut tar = Command::new("tar");
        tar.arg("-cf").arg(&tarball).arg("-C").arg(dir.path().join("new")).arg("p");
        sandbox::run(&mut tar, "tar").expect("packs");
        let code = |p: &str| p.ends_with(".c") || p.ends_with(".h");
        let found = differing(&tarball, "p", &dir.path().join("old"), code).expect("compares");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a.c", "net/c.c", "net/e.h"]);
        differing(&dir.path().join("none.tar"), "p", dir.path(), code).expect_err("no such archive");
    }

    #[test]
    fn a_broken_changelog_line_is_found() {
        let source = Source { folder: "/".into(), changelog: "    - tracing: Fix the shift\n      of it\n".into() };
        assert!(source.names("tracing: Fix the shift of it"));
        assert!(!source.names("tracing: Fix the other"));
        assert_eq!(source.file("net/x.c"), Path::new("/tree/net/x.c"));
    }
}
