// SPDX-License-Identifier: GPL-2.0-or-later
//! Who holds a lock: an open file in, the processes that have a flock(2) on it out, by /proc. The kernel that runs is
//! asked, whatever the root of the system is that kmend works on: that is where the lock is.

use std::fmt;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// One process that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Whose it is: the real user id.
    pub user: u32,
    /// Its name, /proc/PID/comm, which it chooses itself.
    pub comm: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({}) of user {}", self.pid, self.comm, self.user)
    }
}

/// The processes that hold a lock on `file`, by their numbers; none where /proc does not tell.
///
/// Only /proc/PID/fdinfo is read (`lock: 1: FLOCK  ADVISORY  WRITE 812 fd:01:1310 0 EOF`, fs/proc/fd.c): a look at the files that
/// others have open may hang where their file system does.
pub fn of(file: &File) -> Vec<Holder> {
    let Some(id) = id(file) else { return Vec::new() };
    let numbers = |path: &Path| -> Vec<u32> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    };
    let mut pids = numbers(Path::new("/proc"));
    pids.sort_unstable();
    let holds = |pid: &u32| {
        let folder = Path::new("/proc").join(pid.to_string()).join("fdinfo");
        let told = |fd: u32| fs::read_to_string(folder.join(fd.to_string())).unwrap_or_default();
        numbers(&folder).into_iter().any(|fd| told(fd).lines().any(|line| is_lock_on(line, &id)))
    };
    let found: Vec<Holder> = pids.into_iter().filter(holds).filter_map(holder).collect();
    if found.is_empty() {
        // Without the right to look into other users' processes: who took it first, as far as that one lives.
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let pid = |line: &str| line.split_whitespace().nth(4)?.parse().ok();
        let lines = locks.lines().filter(|line| is_lock_on(&format!("lock:{line}"), &id) && !line.contains("->"));
        return lines.filter_map(pid).filter_map(holder).collect();
    }
    found
}

/// The file as lines of locks name it: `fd:01:1310`, device and inode. The device is that of the mount, as some file
/// systems tell another to stat(2).
fn id(file: &File) -> Option<String> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(mount))?;
    let (major, minor) = line.split(' ').nth(2)?.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    Some(format!("{major:02x}:{minor:02x}:{}", file.metadata().ok()?.ino()))
}

fn is_lock_on(line: &str, id: &str) -> bool {
    let Some(lock) = line.strip_prefix("lock:") else { return false };
    let words: Vec<&str> = lock.split_whitespace().collect();
    words.contains(&"FLOCK") && words.contains(&id)
}

fn holder(pid: u32) -> Option<Holder> {
    let text = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let status = text("status")?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let comm = text("comm").unwrap_or_default().trim_end().to_string();
    Some(Holder { pid, user: users.split_whitespace().next()?.parse().ok()?, comm })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("lock"), dir.path().join("other"));
        let open = |path| File::options().create(true).truncate(false).read(true).write(true).open(path).unwrap();
        let (held, looks) = (open(&path), open(&path));
        assert_eq!(of(&looks), []);
        held.lock().unwrap();
        open(&other).lock().unwrap();
        let found = of(&looks);
        assert_eq!(found.iter().map(|h| h.pid).collect::<Vec<_>>(), [std::process::id()]);
        assert_eq!(found[0].user, fs::metadata("/proc/self").unwrap().uid());
        assert_eq!(of(&open(&other)), []);
        drop(held);
        assert_eq!(of(&looks), []);
    }

    #[test]
    fn lines_of_other_locks_are_passed_over() {
        assert!(is_lock_on("lock:\t1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF", "00:13:11691"));
        for other in [
            "lock:\t1: FLOCK  ADVISORY  WRITE 359 00:13:116911 0 EOF",
            "lock:\t1: POSIX  ADVISORY  WRITE 359 00:13:11691 0 EOF",
            "pos:\t0",
            "",
        ] {
            assert!(!is_lock_on(other, "00:13:11691"), "{other}");
        }
    }
}
