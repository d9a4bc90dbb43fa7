// SPDX-License-Identifier: GPL-2.0-or-later
//! The folder of a stream file: names in that file come in, files that are within the folder go out.

use crate::files;
use anyhow::{bail, ensure, Context, Result};
use std::path::{Component, Path, PathBuf};

/// The folder that a stream file is in.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Without symbolic links.
    real: PathBuf,
}

impl Folder {
    /// The folder of the stream file `file`.
    pub fn of(file: &Path) -> Result<Self> {
        let dir = file.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = std::fs::canonicalize(dir).with_context(|| format!("cannot find folder {}", dir.display()))?;
        Ok(Self { real })
    }

    /// Where it is, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.real
    }

    /// The path of the file `name`, without symbolic links.
    ///
    /// # Errors
    /// A name that leads out of the folder, by itself or by a symbolic link; one of no file.
    pub fn find(&self, name: &str) -> Result<PathBuf> {
        ensure!(!name.is_empty(), "the name of a file is missing");
        ensure!(!name.chars().any(char::is_control), "{name:?} holds control characters");
        for part in Path::new(name).components() {
            match part {
                Component::Normal(_) | Component::CurDir => {}
                Component::ParentDir => bail!("{name} leads out of the folder of the stream file by `..`"),
                Component::RootDir | Component::Prefix(_) => {
                    bail!("{name} is absolute; files of a stream are named relative to the stream file")
                }
            }
        }
        let path = self.real.join(name);
        let real = std::fs::canonicalize(&path).with_context(|| format!("cannot find {}", path.display()))?;
        ensure!(
            real.starts_with(&self.real),
            "{name} leads out of the folder of the stream file by a symbolic link, to {}",
            real.display()
        );
        ensure!(real.is_file(), "{name} is no file");
        Ok(real)
    }

    /// Path and contents of the file `name`, of at most `most` bytes.
    pub fn read(&self, name: &str, most: u64) -> Result<(PathBuf, Vec<u8>)> {
        let path = self.find(name)?;
        let bytes = files::read_at_most(&path, most)?;
        Ok((path, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn stays_within() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("stream");
        fs::create_dir_all(inner.join("fixes")).unwrap();
        fs::write(dir.path().join("outside"), "x").unwrap();
        fs::write(inner.join("fixes/a.patch"), "a").unwrap();
        symlink("../outside", inner.join("link")).unwrap();
        symlink("..", inner.join("up")).unwrap();
        symlink("fixes/a.patch", inner.join("good")).unwrap();
        let folder = Folder::of(&inner.join("stream.toml")).unwrap();
        assert_eq!(folder.read("fixes/a.patch", 1).unwrap().1, b"a");
        assert_eq!(folder.read("./good", 1).unwrap().1, b"a");
        let says = |name: &str, words: &str| {
            let error = format!("{:#}", folder.read(name, 1).unwrap_err());
            assert!(error.contains(words) && (name.is_empty() || error.contains(name)), "{error}");
        };
        says("../outside", "`..`");
        says("fixes/../fixes/a.patch", "`..`");
        says("/etc/passwd", "is absolute");
        says("link", "by a symbolic link");
        says("up/outside", "by a symbolic link");
        says("fixes", "is no file");
        says("none.patch", "cannot find");
        says("", "is missing");
        fs::write(inner.join("large"), "ab").unwrap();
        says("large", "MiB at most");
    }
}
