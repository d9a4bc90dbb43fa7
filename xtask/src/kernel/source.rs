// SPDX-License-Identifier: GPL-2.0-or-later
//! A test kernel's source: suites and fix-ups in, an unpacked and mended tree out.

use anyhow::{bail, Context, Result};
use kmend_builder::target::distro::debian::apt::Archive;
use kmend_builder::target::distro::debian::source;
use kmend_builder::{files, progress};
use qemu_tests::applies::{self, Stand};
use std::path::{Path, PathBuf};

/// A patch that the source wants, kept in this repository until upstream has it.
pub struct Fixup {
    /// Its file's name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// Reads the fix-ups in `folder`, in the order of their names; no folder, no fix-ups.
pub fn fixups(folder: &Path) -> Result<Vec<Fixup>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.extension().is_some_and(|e| e == "patch") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push(Fixup { name, text: files::read_text(&path)?, path });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A source package that a suite has.
pub struct Source {
    archive: Archive,
    /// `7.3`.
    pub series: String,
    /// `linux-source-7.3`.
    pub package: String,
    /// Its version.
    pub version: String,
}

/// The first of `places` (suite and series) that there is.
pub fn find(places: &[(&str, &str)], machine_arch: &str) -> Result<Source> {
    let mut said = Vec::new();
    for (suite, series) in places {
        let package = format!("linux-source-{series}");
        let found = Archive::open(suite, machine_arch, None).and_then(|a| Ok((a.find(&package, None)?, a)));
        match found {
            Ok((Some(found), archive)) => {
                return Ok(Source { archive, series: (*series).into(), package, version: found.version })
            }
            Ok((None, _)) => said.push(format!("{suite} has no {package}")),
            Err(error) => said.push(format!("{suite}: {error:#}")),
        }
    }
    bail!("the kernel's source is nowhere to be had: {}", said.join("; "))
}

impl Source {
    /// Fetches the package into the cache.
    pub fn fetch(&self) -> Result<PathBuf> {
        let step = progress::step(format!("fetching {} {}", self.package, self.version));
        let deb = self.archive.fetch(&self.package, Some(&self.version))?;
        step.done("");
        Ok(deb)
    }
}

/// Unpacks `source` out of `deb` and mends it; `tree` is there when all of that is done.
pub fn unpack(deb: &Path, source: &Source, fixups: &[Fixup], tree: &Path) -> Result<()> {
    let fresh = tree.with_extension("fresh");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).with_context(|| format!("cannot remove {}", fresh.display()))?;
    }
    let step = progress::step("unpacking the source");
    source::unpack(deb, &source.series, &fresh)?;
    step.done("");
    for fixup in fixups {
        mend(&fresh, fixup)?;
    }
    std::fs::rename(&fresh, tree).with_context(|| format!("cannot rename {} to {}", fresh.display(), tree.display()))
}

/// Applies one fix-up, unless the source has it already.
fn mend(tree: &Path, fixup: &Fixup) -> Result<()> {
    match applies::look(tree, &fixup.path)? {
        Stand::Fits => applies::apply(tree, &fixup.path),
        Stand::Already => {
            println!("the fix-up {} is in the source already: it can go", fixup.name);
            Ok(())
        }
        Stand::No(said) => bail!(
            "the fix-up {} neither applies to the source nor is it in there: write it anew, or remove it where the \
             source no longer wants it ({}):\n{said}",
            fixup.name,
            fixup.path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_up_applies_or_is_in_or_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, folder) = (dir.path().join("tree"), dir.path().join("fixups"));
        files::write(&folder.join("b.patch"), b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-b\n+c\n").unwrap();
        files::write(&folder.join("a.patch"), b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n").unwrap();
        files::write(&folder.join("README"), b"no patch\n").unwrap();
        files::write(&tree.join("f"), b"a\n").unwrap();
        let all = fixups(&folder).unwrap();
        assert_eq!(all.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["a.patch", "b.patch"]);
        all.iter().for_each(|f| mend(&tree, f).unwrap());
        assert_eq!(files::read_text(&tree.join("f")).unwrap(), "c\n");
        mend(&tree, &all[1]).unwrap();
        assert_eq!(files::read_text(&tree.join("f")).unwrap(), "c\n");
        let said = mend(&tree, &all[0]).unwrap_err().to_string();
        assert!(said.contains("the fix-up a.patch neither applies"), "{said}");
    }
}
