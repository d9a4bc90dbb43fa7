// SPDX-License-Identifier: GPL-2.0-or-later
//! What the link step caches: the inputs of an entry in, its folder of files out. Entries are compiled crates, bindings, and
//! kbuild's calls of make.
//!
//! A folder is made under a temporary name and renamed, with the checksums of its files in it; an incomplete one is made again.

use crate::files;
use anyhow::{ensure, Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The checksums of the files in a folder, by name.
const SUMS: &str = "sums.json";

/// The folder of the crate that is made of `parts`; where it is not there, or broken, `make` fills a new one.
pub fn a_crate(name: &str, parts: &[&str], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    provide_in(&files::cache_dir()?.join("crates"), name, parts, make)
}

/// The folder of what is known of kbuild where `parts` say all that it depends on; as with [`a_crate`].
pub fn of_kbuild(parts: &[&str], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    provide_in(&files::cache_dir()?.join("commands"), "modules", parts, make)
}

/// The folder of bindings that are made of `parts`; as with [`a_crate`].
pub fn bindings(parts: &[&str], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    provide_in(&files::cache_dir()?.join("bindings"), "livepatch", parts, make)
}

fn provide_in(home: &Path, what: &str, parts: &[&str], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let key = files::key(parts);
    let folder = home.join(format!("{what}-{}", &key[..20]));
    // A cache that cannot be written may have it.
    if is_whole(&folder) {
        return Ok(folder);
    }
    let _lock = files::lock(&home.join(format!("{what}.lock")), "makes the same")?;
    if is_whole(&folder) {
        return Ok(folder);
    }
    let new = tempfile::Builder::new()
        .prefix(".kmend-")
        .tempdir_in(home)
        .with_context(|| format!("cannot make a folder in {}", home.display()))?;
    make(new.path())?;
    let sums = serde_json::to_vec(&sums(new.path())?).context("cannot write down checksums")?;
    files::write(&new.path().join(SUMS), &sums)?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::rename(new.path(), &folder).with_context(|| format!("cannot rename to {}", folder.display()))?;
    Ok(folder)
}

fn is_whole(folder: &Path) -> bool {
    let said = fs::read(folder.join(SUMS)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    said.is_some_and(|said: BTreeMap<String, String>| sums(folder).is_ok_and(|found| found == said))
}

fn sums(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != SUMS {
            sums.insert(name, files::sha256(&files::read(&entry.path())?));
        }
    }
    ensure!(!sums.is_empty(), "{} is empty", folder.display());
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn made_once_and_anew_when_broken() {
        let home = tempfile::tempdir().unwrap();
        let made = Cell::new(0);
        let provide = |parts: &[&str]| {
            let make = |dir: &Path| {
                made.set(made.get() + 1);
                files::write(&dir.join("libx.rmeta"), b"whole")
            };
            provide_in(home.path(), "x", parts, make).unwrap()
        };
        let folder = provide(&["a", "b"]);
        assert_eq!(provide(&["a", "b"]), folder);
        assert_eq!(made.get(), 1);
        fs::write(folder.join("libx.rmeta"), b"half").unwrap();
        assert_eq!(provide(&["a", "b"]), folder);
        assert_eq!((made.get(), fs::read(folder.join("libx.rmeta")).unwrap()), (2, b"whole".to_vec()));
        assert_ne!(provide(&["ab"]), folder, "parts do not run into each other");
        provide_in(home.path(), "x", &["c"], |_| anyhow::bail!("no compiler")).unwrap_err();
        let left = fs::read_dir(home.path()).unwrap().count();
        assert_eq!(left, 3, "two folders and the lock");
    }
}
