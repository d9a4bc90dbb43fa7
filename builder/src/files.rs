// SPDX-License-Identifier: GPL-2.0-or-later
//! Files as this project writes them: under a temporary name, then renamed, so that nothing is ever half-written; and
//! the cache folder with the large ones.

use crate::progress;
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::{cache, holder};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// The cache folder: `$KMEND_CACHE`, else `$XDG_CACHE_HOME/kmend`, else `~/.cache/kmend`.
pub fn cache_dir() -> Result<PathBuf> {
    let folder = cache::folder()
        .context("neither KMEND_CACHE, XDG_CACHE_HOME nor HOME is set: name a cache folder in KMEND_CACHE")?;
    std::path::absolute(folder).context("the cache folder")
}

/// Reads a whole file; the error names it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads a file from outside of at most `most` bytes. A larger one is refused before it is read; of a pipe no more is read.
///
/// # Errors
/// It is larger, a folder or a device, or cannot be read.
pub fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let about = fs::metadata(path).with_context(cannot)?;
    let large = |size: String| {
        format!("{} is too large ({size}): such a file may have {} MiB at most", path.display(), most >> 20)
    };
    ensure!(about.len() <= most, large(format!("{} MiB", about.len().div_ceil(1 << 20))));
    ensure!(!about.is_dir(), "{}: it is a directory", cannot());
    ensure!(about.is_file() || about.file_type().is_fifo(), "{}: it is no file", cannot());
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes)).with_context(cannot)?;
    ensure!(bytes.len() as u64 <= most, large("more than that".into()));
    Ok(bytes)
}

/// Reads a whole text file; the error names it.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes `data` to `path` through a file beside it and a rename; parents are made. What is there
/// afterwards is on the disk.
pub fn write(path: &Path, data: &[u8]) -> Result<()> {
    write_together(&[(path.into(), data)])
}

/// The same for what can be made again at once: it does not wait for the disk.
pub fn write_quickly(path: &Path, data: &[u8]) -> Result<()> {
    write_beside(path, data, false)?.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// Keeps what only saves time the next time: where the cache is full or cannot be written, that is said once and is no error.
pub fn keep(path: &Path, data: &[u8]) {
    static SAID: Once = Once::new();
    if let Err(error) = write_quickly(path, data) {
        SAID.call_once(|| {
            progress::note(&format!("cannot write to the cache, so the next run starts from nothing: {error:#}"))
        });
    }
}

/// Writes several files: all of them are complete before the first one gets its name, so that a full disk
/// leaves none of them.
pub fn write_together(files: &[(PathBuf, &[u8])]) -> Result<()> {
    let beside = files.iter().map(|(path, data)| write_beside(path, data, true)).collect::<Result<Vec<_>>>()?;
    for (file, (path, _)) in beside.into_iter().zip(files) {
        file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn write_beside(path: &Path, data: &[u8], sync: bool) -> Result<tempfile::NamedTempFile> {
    let dir = folder_of(path);
    fs::create_dir_all(dir).with_context(|| format!("cannot make folder {}", dir.display()))?;
    let mut beside = tempfile::Builder::new()
        .prefix(BESIDE_PREFIX)
        .tempfile_in(dir)
        .with_context(|| format!("cannot write in {}", dir.display()))?;
    beside
        .write_all(data)
        .and_then(|()| if sync { beside.as_file().sync_data() } else { Ok(()) })
        .with_context(|| format!("cannot write {} ({} bytes): is the disk full?", path.display(), data.len()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(beside.path(), fs::Permissions::from_mode(0o644))
            .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    }
    Ok(beside)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether files can be made in `dir`, or where it is not there yet, in the first folder above it that is.
/// Nothing is left behind.
pub fn check_writable(dir: &Path) -> Result<()> {
    let mut there = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    while there != Path::new(".")
        && fs::symlink_metadata(there).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
    {
        there = folder_of(there);
    }
    tempfile::Builder::new()
        .prefix(BESIDE_PREFIX)
        .tempfile_in(there)
        .map(drop)
        .with_context(|| format!("cannot make a file in {}", there.display()))
}

/// Makes a folder and its parents; the error names it.
pub fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make folder {}", dir.display()))
}

/// Removes a folder that may not be there. Refuses while something is mounted below it (a broken-off
/// mmdebstrap may leave the machine's /dev there).
pub fn remove_dir(dir: &Path) -> Result<()> {
    if dir.symlink_metadata().is_err() {
        return Ok(());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let inside = |l: &&str| l.split(' ').nth(4).is_some_and(|p| Path::new(p).starts_with(dir));
    if let Some(mount) = mounts.lines().find(inside) {
        bail!("{} is mounted below {}: unmount it first", mount.split(' ').nth(4).unwrap_or(""), dir.display());
    }
    fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
}

/// Makes a folder and those above it that are missing. All can read them, whatever the umask is.
pub fn make_readable_dir(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let cannot = || format!("cannot make folder {}", dir.display());
    let is_missing = |f: &&Path| !f.as_os_str().is_empty() && fs::symlink_metadata(f).is_err();
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(dir).with_context(cannot)?;
    missing.into_iter().try_for_each(|d| fs::set_permissions(d, fs::Permissions::from_mode(0o755))).with_context(cannot)
}

/// Lets all read the folder `dir`, whatever the umask is.
pub fn make_readable(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot set the mode of {}", dir.display()))
}

/// How work folders begin.
pub const WORK_PREFIX: &str = "kmend-work-";
/// The file in a work folder that its process holds a lock on.
pub const OWNER: &str = ".owner";
/// How files begin that are written beside.
pub const BESIDE_PREFIX: &str = ".kmend-";

/// A folder for one run, removed with this value. A killed run leaves it behind, without an owner.
pub struct WorkDir {
    dir: tempfile::TempDir,
    _owner: File,
}

impl WorkDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Makes a folder for one run below the folder for temporary files.
pub fn work_dir() -> Result<WorkDir> {
    let make = || -> std::io::Result<WorkDir> {
        let dir = tempfile::Builder::new().prefix(WORK_PREFIX).tempdir()?;
        let owner = File::create(dir.path().join(OWNER))?;
        owner.lock()?;
        Ok(WorkDir { dir, _owner: owner })
    };
    make().context("cannot make a temporary folder")
}

/// SHA-256 of `data`, in hexadecimal.
pub fn sha256(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

/// A name for what is made of `parts`, which do not run into each other: SHA-256, in hexadecimal.
pub fn key(parts: &[&str]) -> String {
    let text: String = parts.iter().map(|part| format!("{} {part}\n", part.len())).collect();
    sha256(text.as_bytes())
}

/// Lower-case hexadecimal of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Holds an exclusive lock on a file until dropped; a second process waits, saying so.
pub struct Lock(#[allow(dead_code)] File);

/// Takes the lock `path` (made when missing). While another process holds it, says `waiting_for` and which process that
/// is. Only the owner may open the file: a process that can open it can hold the lock, and one that others could open
/// is closed.
pub fn lock(path: &Path, waiting_for: &str) -> Result<Lock> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    const MODE: u32 = 0o600;
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot make folder {}", dir.display()))?;
    }
    let cannot = || format!("cannot open lock {}", path.display());
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(MODE).open(path).with_context(cannot)?;
    if file.metadata().with_context(cannot)?.permissions().mode() & 0o777 != MODE {
        // Another user's lock, in a folder that several use, is his to close.
        let _ = file.set_permissions(fs::Permissions::from_mode(MODE));
    }
    if file.try_lock().is_err() {
        let who = holder::of(&file).first().map_or("another process".into(), ToString::to_string);
        eprintln!("waiting for {who}, which {waiting_for} ({})", path.display());
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(Lock(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_are_refused_before_they_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let file = File::create(&path).unwrap();
        // It has no blocks: reading it would take a terabyte of memory.
        file.set_len(1 << 40).unwrap();
        assert!(read_at_most(&path, 1 << 20).unwrap_err().to_string().contains("may have 1 MiB at most"));
        file.set_len(1 << 20).unwrap();
        assert_eq!(read_at_most(&path, 1 << 20).unwrap().len(), 1 << 20);
        for no_file in ["/dev/zero", "/dev/null", "/tmp"] {
            assert!(read_at_most(Path::new(no_file), 1 << 20).is_err(), "{no_file}");
        }
    }

    #[test]
    fn a_cache_that_takes_nothing_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        keep(&dir.path().join("file/below"), b"text");
        keep(&dir.path().join("kept"), b"text");
        assert_eq!(std::fs::read(dir.path().join("kept")).unwrap(), b"text");
    }
}
