// SPDX-License-Identifier: GPL-2.0-or-later
//! Patches as people store them: files, folders and standard input in, patch files in their order out.

use crate::files;
use crate::source::patchfile::MAX_BYTES;
use crate::stream::folder::Folder;
use crate::unpack;
use anyhow::{bail, ensure, Context, Result};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The argument that means standard input.
pub const STDIN: &str = "-";

/// A folder with more patches than that is no folder of fixes.
const MOST: usize = 1000;

/// The patch files that `given` means, in their order. What comes from standard input is put into `work`.
///
/// # Errors
/// A folder without patches; a quilt series that names what is not there, or that strips folders otherwise than `-p1`.
pub fn gather(given: &[PathBuf], work: &Path) -> Result<Vec<PathBuf>> {
    let mut patches = Vec::new();
    for path in given {
        if path == Path::new(STDIN) {
            let file = work.join("stdin.patch");
            ensure!(!patches.contains(&file), "standard input can be read once: name `-` once");
            files::write(&file, &standard_input()?)?;
            patches.push(file);
        } else if path.is_dir() {
            patches.extend(of_folder(path)?);
        } else {
            patches.push(path.clone());
        }
    }
    Ok(patches)
}

fn standard_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes).context("cannot read a patch from standard input")?;
    ensure!(bytes.len() as u64 <= MAX_BYTES, "the patch on standard input is larger than {} MiB", MAX_BYTES >> 20);
    Ok(bytes)
}

/// The patches of a folder: those of its `series` (quilt(1)), else all of them by their names.
fn of_folder(dir: &Path) -> Result<Vec<PathBuf>> {
    let series = dir.join("series");
    let patches = if series.is_file() {
        of_series(&series)?
    } else {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let path = entry.with_context(|| format!("cannot list {}", dir.display()))?.path();
            if is_patch(&path) && path.is_file() {
                found.push(path);
            }
        }
        found.sort();
        found
    };
    ensure!(
        !patches.is_empty(),
        "the folder {} holds no patches (*.patch, *.diff, *.mbox) and no series",
        dir.display()
    );
    ensure!(patches.len() <= MOST, "the folder {} holds {} patches; {MOST} are the most", dir.display(), patches.len());
    Ok(patches)
}

/// Names like `0001-x.patch`, `x.diff.gz`.
fn is_patch(path: &Path) -> bool {
    let end = |path: &Path| path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_string();
    let packed = unpack::ENDS.contains(&end(path).as_str());
    let plain = if packed { path.with_extension("") } else { path.to_path_buf() };
    matches!(end(&plain).as_str(), "patch" | "diff" | "mbox")
}

/// The patches that a quilt series names: one a line, perhaps with options; remarks behind `#`.
fn of_series(series: &Path) -> Result<Vec<PathBuf>> {
    let bytes = files::read_at_most(series, 1 << 20)?;
    let text = std::str::from_utf8(&bytes).with_context(|| format!("{} is no text", series.display()))?;
    let folder = Folder::of(series)?;
    let mut patches = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let at = || format!("{}, line {}", series.display(), n + 1);
        let line = line.split_once(" #").map_or(line, |(before, _)| before).trim();
        let mut words = line.split_whitespace();
        let Some(name) = words.next().filter(|name| !name.starts_with('#')) else { continue };
        if let Some(option) = words.find(|option| *option != "-p1") {
            bail!("{}: the option {option} is not supported; patches are applied with -p1", at());
        }
        patches.push(folder.find(name).with_context(at)?);
    }
    Ok(patches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[PathBuf]) -> Vec<String> {
        paths.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn folders_have_an_order() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| files::write(&dir.path().join("p").join(name), text.as_bytes()).unwrap();
        let gathered = || gather(&[PathBuf::from("x"), dir.path().join("p")], dir.path());
        put("README", "");
        assert!(gathered().is_err());
        put("0002-b.patch", "");
        put("0001-a.diff.gz", "");
        put("sub/0003-c.patch", "");
        assert_eq!(names(&gathered().unwrap()), ["x", "0001-a.diff.gz", "0002-b.patch"]);
        put("series", "# remark\n\n0002-b.patch -p1\nsub/0003-c.patch # why\n0001-a.diff.gz\n");
        assert_eq!(names(&gathered().unwrap()), ["x", "0002-b.patch", "0003-c.patch", "0001-a.diff.gz"]);
        for (bad, says) in [
            ("none.patch\n", "series, line 1"),
            ("\n0002-b.patch -p0\n", "line 2: the option -p0"),
            ("../x.patch\n", "series, line 1"),
        ] {
            put("series", bad);
            let said = format!("{:#}", gathered().unwrap_err());
            assert!(said.contains(says), "{said}");
        }
    }
}
