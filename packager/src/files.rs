// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads and writes whole files: written under a temporary name, synced, then renamed.

use anyhow::{ensure, Context, Result};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A package that is made, and the name that its file is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The file's name, without a folder.
    pub file: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Built {
    /// Writes the package into `folder`, which is made if need be, and gives its path.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(&self.file);
        write(&path, &self.bytes)?;
        Ok(path)
    }
}

/// Reads a whole file; the error names it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads a whole text file; the error names it.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads a regular file of at most `most` bytes as text; the error names it.
pub(crate) fn read_text_at_most(path: &Path, most: u64) -> Result<String> {
    let about = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(about.is_file(), "{} is no regular file", path.display());
    ensure!(about.len() <= most, "{} has {} bytes: {most} is the most", path.display(), about.len());
    read_text(path)
}

/// Writes `data` to `path`: complete, and on the disk, or not at all.
pub(crate) fn write(path: &Path, data: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(folder).with_context(|| format!("cannot make folder {}", folder.display()))?;
    let mut beside = tempfile::Builder::new()
        .prefix(".kmend-")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    beside
        .write_all(data)
        .and_then(|()| fs::set_permissions(beside.path(), fs::Permissions::from_mode(0o644)))
        .and_then(|()| beside.as_file().sync_all())
        .with_context(|| format!("cannot write {} ({} bytes): is the disk full?", path.display(), data.len()))?;
    beside.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// Makes a folder and those above it that are missing. All can read them, whatever the umask is: a repository is there to be read.
fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|f| !f.as_os_str().is_empty() && fs::symlink_metadata(f).is_err()).collect();
    fs::create_dir_all(folder)?;
    missing.into_iter().try_for_each(|made| fs::set_permissions(made, fs::Permissions::from_mode(0o755)))
}

/// Lets all read a folder and the files in it, whatever the umask was.
pub(crate) fn readable(folder: &Path) -> Result<()> {
    let set = |path: &Path, mode| {
        let cannot = || format!("cannot set the mode of {}", path.display());
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(cannot)
    };
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read folder {}", folder.display()))? {
        set(&entry.with_context(|| format!("cannot read folder {}", folder.display()))?.path(), 0o644)?;
    }
    set(folder, 0o755)
}

/// The files in `folder` whose names end in `.ending`, in the order of their names.
pub(crate) fn with_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read folder {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read folder {}", folder.display()))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
