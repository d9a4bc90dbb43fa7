// SPDX-License-Identifier: GPL-2.0-or-later
//! Files on the disk: written beside under a name of one's own, synced, renamed, and the folder synced, so that after a
//! loss of power there is the whole file or none, and two writers at once leave the whole file of one of them. Modes do
//! not depend on the umask. What is read is a regular file of a limited size: a pipe or a device is never opened.

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names of files beside begin with, while they are written. `list` and `load --all` take no file that begins
/// with a dot.
const BESIDE: &str = ".kmend-new";
/// How many names are tried for a file beside.
const NAMES: u32 = 1000;
/// Mode of files that kmend writes: monitoring reads them without being root.
pub const FILE_MODE: u32 = 0o644;
/// Mode of folders that kmend makes.
pub const FOLDER_MODE: u32 = 0o755;

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

/// Opens a regular file for reading. Anything else is not opened: a pipe would wait for a writer, and a device may act.
///
/// # Errors
/// It is no regular file; whatever the file system says.
pub fn open(path: &Path) -> io::Result<File> {
    let regular = |meta: fs::Metadata| match meta.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is not a regular file")),
    };
    regular(fs::metadata(path)?)?;
    // Somebody may have put a pipe there since: then this does not wait.
    let file = OpenOptions::new().read(true).custom_flags(flags(OFlags::NONBLOCK | OFlags::NOCTTY)).open(path)?;
    regular(file.metadata()?)?;
    Ok(file)
}

/// All of a regular file that is open; files of /proc and /sys have no size before they are read.
///
/// # Errors
/// It has more than `largest` bytes; whatever the file system says.
pub fn whole(file: &File, largest: u64) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    let too_large = |size: u64| io::Error::other(format!("it is too large: {size} bytes, the limit is {largest}"));
    if size > largest {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(largest + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        read if read > largest => Err(too_large(read)),
        _ => Ok(bytes),
    }
}

/// All of the regular file at `path`.
///
/// # Errors
/// As [`open`] and [`whole`].
pub fn read(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    whole(&open(path)?, largest)
}

fn flags(flags: OFlags) -> i32 {
    // They are an int to open(2); the few that are used here are small.
    i32::try_from(flags.bits()).unwrap_or_default()
}

/// Writes `data` to `path`, mode 644; the folder is made where it is missing. What broken off runs left beside goes away.
///
/// # Errors
/// Whatever the file system says; then `path` is as it was and nothing stays beside it.
pub fn write(path: &Path, data: &[u8]) -> Result<()> {
    let dir = folder_of(path);
    make_folder(dir).with_context(|| format!("cannot make folder {}", dir.display()))?;
    sweep(dir);
    let done = Beside::new(dir).and_then(|beside| {
        beside.fill(data)?;
        beside.rename(path)
    });
    step();
    done.with_context(|| format!("cannot write {} ({} bytes)", path.display(), data.len()))?;
    sync_folder(dir)
}

/// A file beside, which goes away unless it gets its name. Its writer holds a lock on it, so that what no one holds is
/// what a broken off run has left. Until it is complete no one else may open it, and so no one else can hold that lock.
struct Beside {
    path: Option<PathBuf>,
    file: File,
}

impl Beside {
    fn new(dir: &Path) -> io::Result<Self> {
        for number in 0..NAMES {
            let path = dir.join(format!("{BESIDE}-{}-{number}", std::process::id()));
            let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            let beside = Self { path: Some(path), file };
            // A file system without locks has none that are swept, either.
            let swept = matches!(beside.file.try_lock(), Err(TryLockError::WouldBlock));
            if !swept && beside.file.metadata()?.nlink() > 0 {
                step();
                return Ok(beside);
            }
        }
        Err(io::Error::other(format!("{} holds too many files {BESIDE}-*: remove them", dir.display())))
    }

    fn fill(&self, data: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        let (first, second) = data.split_at(data.len() / 2);
        file.write_all(first)?;
        step();
        file.write_all(second)?;
        step();
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.sync_all()?;
        step();
        Ok(())
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, to)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes what broken off runs left beside: files that no writer holds. Nothing comes of a failure.
fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let is_beside = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(BESIDE.as_bytes());
    for path in entries.flatten().filter(is_beside).map(|entry| entry.path()) {
        let how = flags(OFlags::NONBLOCK | OFlags::NOFOLLOW);
        let Ok(file) = OpenOptions::new().write(true).custom_flags(how).open(&path) else { continue };
        // Its name is looked at behind the lock: it may have been swept, or have got its name, in between.
        let is_left = file.try_lock().is_ok() && file.metadata().is_ok_and(|meta| meta.is_file() && meta.nlink() > 0);
        if is_left {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Moves a file to another folder, which is made where it is missing; what was there before is gone. On another file
/// system it is copied, with its SELinux label, and removed then: a loss of power may leave both.
///
/// # Errors
/// Whatever the file system says; the file is at its old place then, or at both.
pub fn move_to(from: &Path, to: &Path) -> Result<()> {
    let dir = folder_of(to);
    make_folder(dir).with_context(|| format!("cannot make folder {}", dir.display()))?;
    let cannot = || format!("cannot move {} to {}", from.display(), to.display());
    open(from).and_then(|file| file.sync_all()).with_context(cannot)?;
    match fs::rename(from, to) {
        Ok(()) => {
            step();
            sync_folder(dir)?;
            sync_folder(folder_of(from))
        }
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            write(to, &read(from, u64::MAX - 1).with_context(cannot)?)?;
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
    sweep(dir);
    if fs::remove_dir(dir).is_ok() {
        step();
        sync_folder(folder_of(dir))?;
    }
    Ok(())
}

/// Makes a folder and those above it, mode 755, each of them on the disk before this returns.
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
    // No one else gets in before it has its mode.
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
        Ok(()) => {
            let how = flags(OFlags::DIRECTORY | OFlags::NOFOLLOW);
            let made = OpenOptions::new().read(true).custom_flags(how).open(dir)?;
            made.set_permissions(Permissions::from_mode(FOLDER_MODE))?;
        }
    }
    step();
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
    fn what_another_writer_is_at_stays() {
        let dir = tempfile::tempdir().unwrap();
        let other = Beside::new(dir.path()).unwrap();
        other.fill(b"other").unwrap();
        write(&dir.path().join("x"), b"mine").unwrap();
        other.rename(&dir.path().join("x")).unwrap();
        assert_eq!(fs::read(dir.path().join("x")).unwrap(), b"other");
        drop(Beside::new(dir.path()).unwrap());
        assert_eq!(names(dir.path()), ["x"]);
    }

    #[test]
    fn pipes_and_devices_are_not_opened_and_sizes_are_limited() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, Path::new("/dev/zero"), Path::new("/dev/tty"), dir.path()] {
            assert_eq!(read(path, 10).unwrap_err().to_string(), "it is not a regular file", "{}", path.display());
        }
        let file = dir.path().join("file");
        fs::write(&file, "0123456789").unwrap();
        assert_eq!(read(&file, 10).unwrap(), b"0123456789");
        assert!(read(&file, 9).unwrap_err().to_string().contains("too large: 10 bytes"));
        // It has no size before it is read.
        assert!(!read(Path::new("/proc/self/status"), 1 << 20).unwrap().is_empty());
        assert!(read(Path::new("/proc/self/status"), 10).unwrap_err().to_string().contains("too large"));
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        // A folder is where the file should go: the rename fails, after everything was written.
        fs::create_dir(dir.path().join("x.ko")).unwrap();
        let error = write(&dir.path().join("x.ko"), b"one").unwrap_err();
        assert!(format!("{error:#}").contains("x.ko (3 bytes)"), "{error:#}");
        assert_eq!(names(dir.path()), ["x.ko"]);
    }
}
