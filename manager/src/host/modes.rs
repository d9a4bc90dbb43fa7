// SPDX-License-Identifier: GPL-2.0-or-later
//! Modes of what kmend has on the disk: its folders 755, its files 644, whatever the umask was of those who made them.
//! Where others can write, any user installs a live patch for the next boot; where they cannot read, monitoring fails.

use super::store;
use super::{notes, Host};
use crate::files::{FILE_MODE, FOLDER_MODE};
use crate::Run;
use rustix::fs::OFlags;
use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;

/// The user who runs kmend: the effective user id, as the owner of /proc/self has it; 0 where there is no /proc.
pub fn user() -> u32 {
    fs::metadata("/proc/self").map_or(0, |meta| meta.uid())
}

/// Why this file is not one that root alone has put there; None if nothing rules that out.
pub fn fault(meta: &Metadata) -> Option<String> {
    let others = (meta.mode() & 0o002 != 0) || (meta.mode() & 0o020 != 0 && meta.gid() != 0);
    match meta.uid() {
        owner if owner != 0 && owner != user() => Some(format!("it belongs to user {owner}, not to root")),
        _ if others => Some(format!("users other than root can write to it (mode {:03o})", meta.mode() & 0o777)),
        _ => None,
    }
}

/// Puts the modes right; the caller holds the lock. What could be written to by others is told; what cannot be changed
/// (a read-only /var) stays as it is.
pub fn mend(run: &Run<'_>) {
    for (path, wanted) in places(run.host) {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let mode = meta.mode() & 0o777;
        let is_right = match path.extension() {
            _ if wanted == FOLDER_MODE => !meta.is_dir() || mode == wanted,
            _ if !meta.is_file() => true,
            // A live patch that others may write to stays as it is: it is not loaded, and that is told.
            Some(ending) if ending == "ko" => mode & OTHERS_WRITE != 0 || mode & FILE_MODE == FILE_MODE,
            _ => mode == wanted,
        };
        if is_right {
            continue;
        }
        let how = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
        let open = OpenOptions::new().read(true).custom_flags(how).open(&path);
        let done = open.and_then(|file| file.set_permissions(Permissions::from_mode(wanted)));
        if mode & OTHERS_WRITE != 0 {
            let shown = run.host.show(&path);
            run.say.warn(match done {
                Ok(()) => format!(
                    "{shown} was open to other users (mode {mode:03o}), who may have put live patches there; its mode is \
                     {wanted:03o} now: look at `kmend list`"
                ),
                Err(error) => format!("{shown} is open to other users (mode {mode:03o}): {error}"),
            });
        }
    }
}

/// What is kmend's, and the mode it is to have.
fn places(host: &Host) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for folder in [store::FOLDER, notes::FOLDER, store::KEPT] {
        let folder = host.at(folder);
        // A folder that leads elsewhere is the operator's business.
        if !is_folder(&folder) {
            continue;
        }
        let inside: Vec<PathBuf> = host.names(&folder).unwrap_or_default().iter().map(|n| folder.join(n)).collect();
        for path in inside {
            let files = match is_folder(&path) {
                true => host.names(&path).unwrap_or_default().iter().map(|name| path.join(name)).collect(),
                false => vec![path.clone()],
            };
            let of_kmend = |path: &PathBuf| path.extension().is_some_and(|e| e == "ko" || e == "json");
            found.extend(files.into_iter().filter(of_kmend).map(|file| (file, FILE_MODE)));
            if is_folder(&path) {
                found.push((path, FOLDER_MODE));
            }
        }
        found.push((folder, FOLDER_MODE));
    }
    found
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}
