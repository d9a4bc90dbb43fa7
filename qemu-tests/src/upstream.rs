// SPDX-License-Identifier: GPL-2.0-or-later
//! Files of a linux-source package: package, suite, version and paths in, the unpacked files out, kept in the cache.

use crate::cut::Version;
use anyhow::{bail, Context, Result};
use flate2::read::GzDecoder;
use kmend_builder::target::apt;
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
    let folder = files::cache_dir()?.join("upstream").join(format!("{package}_{}", version.replace(':', "%3a")));
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

fn unpack(package: &str, wanted: &Version, paths: &[&str], folder: &Path) -> Result<()> {
    let version = &wanted.version;
    let step = progress::step(format!("unpacking {} files of {package} {version}", paths.len()));
    let arch = apt::machine_arch()?;
    let archive = apt::Archive::open(&wanted.suite, &arch, wanted.mirror.as_deref())?;
    let deb = archive.fetch(package, Some(version))?;
    let scratch = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(folder.parent().unwrap_or(folder))
        .with_context(|| format!("cannot make a folder beside {}", folder.display()))?;
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
    fn a_broken_changelog_line_is_found() {
        let source = Source { folder: "/".into(), changelog: "    - tracing: Fix the shift\n      of it\n".into() };
        assert!(source.names("tracing: Fix the shift of it"));
        assert!(!source.names("tracing: Fix the other"));
        assert_eq!(source.file("net/x.c"), Path::new("/tree/net/x.c"));
    }
}
