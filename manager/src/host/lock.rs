// SPDX-License-Identifier: GPL-2.0-or-later
//! One kmend at a time: an exclusive flock(2) on /var/lib/kpatch/.lock, held until dropped or until the program ends,
//! however it ends. The file is for root alone, as whoever can open it can hold the lock; it says what its holder is at.

use super::modes;
use super::store::FOLDER;
use crate::{files, Run};
use anyhow::{bail, Context, Result};
use kmend_shared::holder::{self, Holder};
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// Name of the file.
pub const NAME: &str = ".lock";
/// Name of the file that takes its place, where that one is not fit to be locked.
const NEW: &str = ".lock-new";
/// Mode of both.
const MODE: u32 = 0o600;
/// How long another is waited for, seconds: as long as a load with a stalled transition takes, and its way back.
const PATIENCE: u32 = 180;

/// How often is looked who has it, seconds: on a host with many processes that takes a while.
const LOOK: u32 = 10;

/// The lock; None where there was no way to take one.
pub struct Lock(#[allow(dead_code)] Option<File>);

/// Takes the lock. While another kmend has it, waits up to three minutes and says so. Where the file cannot be made (a
/// full or read-only /var), `needs_var` tells whether that is an error; else it is a warning, as a host whose
/// /var is full still has to get its live patches at boot. Modes of kmend's folders and files are put right then.
///
/// # Errors
/// Another kmend has it for too long; no permission; no file and `needs_var`.
pub fn take(run: &Run<'_>, doing: &str, needs_var: bool) -> Result<Lock> {
    let folder = run.host.at(FOLDER);
    let path = folder.join(NAME);
    let shown = run.host.show(&path);
    let (mut waited, mut holders) = (0, Vec::new());
    loop {
        let mut file = match files::make_folder(&folder).and_then(|()| open(&path)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(error).with_context(|| format!("cannot open the lock {shown}: run this as root"))
            }
            Err(error) if needs_var => return Err(error).with_context(|| format!("cannot open the lock {shown}")),
            Err(error) => {
                run.say
                    .warn(format!("cannot open the lock {shown} ({error}); going on without it: run no second kmend"));
                return Ok(Lock(None));
            }
        };
        match file.try_lock() {
            Ok(()) if is_at(&file, &path) => {
                sign(&mut file, doing);
                modes::mend(run);
                return Ok(Lock(Some(file)));
            }
            // It got a new file while this one was opened.
            Ok(()) => continue,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot lock {shown}")),
        }
        if waited % LOOK == 0 {
            holders = holder::of(&file);
        }
        if let Some(stranger) = holders.iter().find(|holder| is_stranger(holder)) {
            // No kmend of root's has it then, and the stranger cannot open the new one.
            if replace(&path, || is_at(&file, &path)).is_ok_and(|done| done) {
                run.say.warn(format!("{stranger} holds {shown}: a new file takes its place"));
                continue;
            }
        }
        if waited == 0 {
            run.say.warn(format!("waiting for {}, which has {shown}", who(&mut file, &holders)));
        }
        if waited > PATIENCE {
            bail!(
                "{} has {shown} for more than {PATIENCE} seconds: nothing was done; `kmend status` shows what it may be \
                 waiting for",
                who(&mut file, &holders)
            );
        }
        run.kernel.sleep(Duration::from_secs(1));
        waited += 1;
    }
}

/// Takes the lock where no one has it, without a word.
pub fn at_once(run: &Run<'_>) -> Option<Lock> {
    let path = run.host.at(FOLDER).join(NAME);
    // Where the file is not there or not fit, the next `take` sees to it.
    let file = open_as_it_is(&path).ok()?;
    file.try_lock().ok()?;
    is_at(&file, &path).then_some(Lock(Some(file)))
}

/// Opens the lock, made where it is missing. One that others may open is closed to them; one that is no plain file of
/// root's own, as somebody else may have put there while the folder was open to all, is replaced.
fn open(path: &Path) -> io::Result<File> {
    if let Ok(meta) = fs::symlink_metadata(path) {
        if !is_fit(&meta) {
            replace(path, || fs::symlink_metadata(path).is_ok_and(|meta| !is_fit(&meta)))?;
        }
    }
    let file = options().create(true).open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    if mode != MODE {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(file)
}

fn open_as_it_is(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path)? {
        meta if is_fit(&meta) => options().open(path),
        _ => Err(io::Error::other("it is not a regular file that belongs to root")),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    options.read(true).write(true).truncate(false).mode(MODE).custom_flags(flags);
    options
}

/// A plain file, of one name, of the user who runs kmend.
fn is_fit(meta: &fs::Metadata) -> bool {
    meta.is_file() && meta.nlink() == 1 && (meta.uid() == 0 || meta.uid() == modes::user())
}

/// The file is still the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: fs::Metadata, b: fs::Metadata| a.dev() == b.dev() && a.ino() == b.ino();
    file.metadata().and_then(|a| Ok(same(a, fs::symlink_metadata(path)?))).unwrap_or(false)
}

/// Who is neither root nor the user who runs kmend.
fn is_stranger(holder: &Holder) -> bool {
    holder.user != 0 && holder.user != modes::user()
}

/// Puts a new file in the place of the lock, where that `has_to_go` still. Of several that try one does: the new file is
/// locked until it has its name, and whoever gets that lock later finds that it is no longer the new one. Whether it
/// was done here.
fn replace(path: &Path, has_to_go: impl Fn() -> bool) -> io::Result<bool> {
    let beside = path.with_file_name(NEW);
    if fs::symlink_metadata(&beside).is_ok_and(|meta| !is_fit(&meta)) {
        fs::remove_file(&beside)?;
    }
    let new = options().create(true).open(&beside)?;
    let is_ours = new.try_lock().is_ok() && is_at(&new, &beside) && has_to_go();
    if is_ours {
        fs::rename(&beside, path)?;
    }
    Ok(is_ours)
}

/// What it is at is a help for the reader alone; where it cannot be written, on a full disk, the lock holds all the same.
fn sign(file: &mut File, doing: &str) {
    let text = format!("process {}: {doing}\n", std::process::id());
    let _ = file.rewind().and_then(|()| file.write_all(text.as_bytes())).and_then(|()| file.set_len(text.len() as u64));
}

/// Who has it now: a kmend with what it is at, or another process. What the file says may be of one that has ended.
fn who(file: &mut File, holders: &[Holder]) -> String {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.take(200).read_to_string(&mut text));
    let line = text.lines().next().unwrap_or_default().trim();
    let is_its = |holder: &&Holder| line.strip_prefix(&format!("process {}: ", holder.pid)).is_some();
    match (holders.iter().find(is_its), holders) {
        (Some(_), _) => format!("another kmend ({line})"),
        (None, [holder, ..]) => holder.to_string(),
        (None, []) => "another process, which /proc does not show".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_ones_own_is_replaced_and_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join(NAME), dir.path().join("other"));
        fs::write(&other, "precious").unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o644)).unwrap();
        let ways: [fn(&Path, &Path); 3] = [
            |path, other| std::os::unix::fs::symlink(other, path).unwrap(),
            |path, other| fs::hard_link(other, path).unwrap(),
            |path, _| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()),
        ];
        for way in ways {
            way(&path, &other);
            let mut file = open(&path).unwrap();
            sign(&mut file, "load");
            assert!(is_at(&file, &path) && is_fit(&file.metadata().unwrap()));
            assert_eq!(file.metadata().unwrap().mode() & 0o777, MODE);
            assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
            assert_eq!(fs::metadata(&other).unwrap().mode() & 0o777, 0o644);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn of_many_that_replace_it_at_once_one_at_a_time_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let old = open(&path).unwrap();
        old.lock().unwrap();
        let (held, most) = (std::sync::atomic::AtomicU32::new(0), std::sync::atomic::AtomicU32::new(0));
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| loop {
                    replace(&path, || is_at(&old, &path)).unwrap();
                    let file = open(&path).unwrap();
                    if file.try_lock().is_ok() && is_at(&file, &path) {
                        most.fetch_max(held.fetch_add(1, order) + 1, order);
                        std::thread::sleep(Duration::from_millis(20));
                        held.fetch_sub(1, order);
                        break;
                    }
                    std::thread::yield_now();
                });
            }
        });
        assert_eq!(most.load(order), 1);
    }
}
