// SPDX-License-Identifier: GPL-2.0-or-later
//! Files on the disk: written beside, synced, renamed, and the folder synced, so that after a loss of power there is
//! the whole file or none. The caller holds the lock: there is one writer at a time.

use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Name of the file beside, while it is written. `list` and `load --all` take no file that begins with a dot.
const BESIDE: &str = ".kmend-new";

/// How many steps there are until the power is cut; 0: it never is.
static CUT: AtomicU64 = AtomicU64::new(0);

/// For tests, which play a loss of power: the process ends at the `steps`-th [`step`] from here, with nothing done about
/// what it was at.
pub fn cut_at(steps: u64) {
    CUT.store(steps, Ordering::Relaxed);
}

/// One step of what is changed on the disk or in the kernel has been done.
pub fn step() {
    let before = CUT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if before == Ok(1) {
        std::process::abort();
    }
}

/// Writes `data` to `path`, mode 644; the folder is made where it is missing. What a broken off run left beside goes
/// away.
///
/// # Errors
/// Whatever the file system says; then `path` is as it was and nothing stays beside it.
pub fn write(path: &Path, data: &[u8]) -> Result<()> {
    let dir = folder_of(path);
    make_folder(dir).with_context(|| format!("cannot make folder {}", dir.display()))?;
    let beside = dir.join(BESIDE);
    let done = write_beside(&beside, data).and_then(|()| fs::rename(&beside, path));
    step();
    if let Err(error) = done {
        let _ = fs::remove_file(&beside);
        let what = format!("cannot write {} ({} bytes)", path.display(), data.len());
        return Err(anyhow::Error::from(error).context(what));
    }
    sync_folder(dir)
}

fn write_beside(beside: &Path, data: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(beside)?;
    step();
    let (first, second) = data.split_at(data.len() / 2);
    file.write_all(first)?;
    step();
    file.write_all(second)?;
    step();
    file.sync_all()?;
    step();
    Ok(())
}

/// Moves a file to another folder, which is made where it is missing; what stood there before is gone. On another file
/// system it is copied, with its SELinux label, and removed then: a loss of power may leave both.
///
/// # Errors
/// Whatever the file system says; the file is at its old place then, or at both.
pub fn move_to(from: &Path, to: &Path) -> Result<()> {
    let dir = folder_of(to);
    make_folder(dir).with_context(|| format!("cannot make folder {}", dir.display()))?;
    let cannot = || format!("cannot move {} to {}", from.display(), to.display());
    File::open(from).and_then(|file| file.sync_all()).with_context(cannot)?;
    match fs::rename(from, to) {
        Ok(()) => {
            step();
            sync_folder(dir)?;
            sync_folder(folder_of(from))
        }
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            write(to, &fs::read(from).with_context(cannot)?)?;
            copy_label(from, to);
            remove(from)
        }
        Err(error) => Err(error).with_context(cannot),
    }
}

/// Modules are loaded by their label where SELinux enforces that. A file system without labels is no fault.
fn copy_label(from: &Path, to: &Path) {
    let mut label = Vec::with_capacity(4096);
    let name = "security.selinux";
    if rustix::fs::getxattr(from, name, rustix::buffer::spare_capacity(&mut label)).is_ok() {
        let _ = rustix::fs::setxattr(to, name, &label, rustix::fs::XattrFlags::empty());
    }
}

/// Removes a file for good, and its folder where nothing is left in it.
///
/// # Errors
/// Whatever the file system says.
pub fn remove(path: &Path) -> Result<()> {
    let dir = folder_of(path);
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    step();
    sync_folder(dir)?;
    let _ = fs::remove_file(dir.join(BESIDE));
    if fs::remove_dir(dir).is_ok() {
        step();
        sync_folder(folder_of(dir))?;
    }
    Ok(())
}

/// Makes a folder and those above it, each of them on the disk before this returns.
///
/// # Errors
/// Whatever the file system says.
pub fn make_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = folder_of(dir);
    if above != dir {
        make_folder(above)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => step(),
    }
    File::open(above)?.sync_all()
}

fn sync_folder(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).with_context(|| format!("cannot sync folder {}", dir.display()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_there_and_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/x.ko");
        write(&path, b"one").unwrap();
        // A run that was broken off.
        fs::write(dir.path().join("a/b").join(BESIDE), "half").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(&dir.path().join("a/b")), ["x.ko"]);
        remove(&path).unwrap();
        assert_eq!(names(&dir.path().join("a")), [""; 0]);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        // A folder stands where the file should go: the rename fails, after everything was written.
        fs::create_dir(dir.path().join("x.ko")).unwrap();
        let error = write(&dir.path().join("x.ko"), b"one").unwrap_err();
        assert!(format!("{error:#}").contains("x.ko (3 bytes)"), "{error:#}");
        assert_eq!(names(dir.path()), ["x.ko"]);
    }
}
