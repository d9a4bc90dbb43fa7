// SPDX-License-Identifier: GPL-2.0-or-later
//! What runs that were killed left: the cache and the folder for temporary files in; half-made build roots and targets,
//! work folders and half-written files that no process owns any more, out.

use crate::files::{self, OWNER};
use crate::target::{archive, store};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Something that is of no use.
#[derive(Debug)]
pub struct Leftover {
    /// Where.
    pub path: PathBuf,
    /// What it was to become.
    pub what: &'static str,
    /// Held while it is looked at and removed, so that no new run takes it up.
    _lock: Option<File>,
}

/// A half-written file that is older than this has no writer any more.
const STALE: Duration = Duration::from_secs(24 * 3600);

impl Leftover {
    /// Removes it; refuses where something is mounted below it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self) -> Result<()> {
        match self.path.is_dir() {
            true => files::remove_dir(&self.path),
            false => fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display())),
        }
    }
}

/// All leftovers.
///
/// # Errors
/// A folder that cannot be read.
pub fn all() -> Result<Vec<Leftover>> {
    let cache = files::cache_dir()?;
    let mut found = in_cache(&cache)?;
    for path in entries(&std::env::temp_dir())?.into_iter().filter(|p| starts_with(p, files::WORK_PREFIX)) {
        let owner = path.join(OWNER);
        if let Some(lock) = owner.is_file().then(|| free(&owner)).flatten() {
            found.push(Leftover { path, what: "work folder of a run that was killed", _lock: Some(lock) });
        }
    }
    Ok(found)
}

fn in_cache(cache: &Path) -> Result<Vec<Leftover>> {
    let mut found = Vec::new();
    let roots = cache.join("roots");
    for path in entries(&roots)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(lock) = name.strip_suffix(".new").and_then(|key| free(&roots.join(format!("{key}.lock")))) {
            found.push(Leftover { path, what: "half-made build root", _lock: Some(lock) });
        }
    }
    for path in entries(&cache.join("targets"))?.into_iter().filter(|p| p.is_dir() && !p.join(store::FILE).exists()) {
        let lock = PathBuf::from(format!("{}.lock", path.display()));
        if let Some(lock) = free(&lock) {
            found.push(Leftover { path, what: "half-made target", _lock: Some(lock) });
        }
    }
    for path in entries(&cache.join(archive::FOLDER))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(lock) = free(&cache.join("targets").join(format!("{name}.lock"))) {
            found.push(Leftover { path, what: "half-imported target", _lock: Some(lock) });
        }
    }
    let folders = entries(cache)?.into_iter().chain(entries(&cache.join("objects"))?);
    for folder in folders.filter(|p| p.is_dir()) {
        let stale = entries(&folder)?.into_iter().filter(|p| starts_with(p, files::BESIDE_PREFIX) && is_stale(p));
        found.extend(stale.map(|path| Leftover { path, what: "half-written cache entry", _lock: None }));
    }
    Ok(found)
}

fn starts_with(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

fn is_stale(path: &Path) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|about| about.modified());
    changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE))
}

/// The lock of a file that no process holds, held now.
fn free(lock: &Path) -> Option<File> {
    let file = File::options().create(true).truncate(false).write(true).open(lock).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// What is in a folder, in order; nothing where it is missing.
///
/// # Errors
/// It cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", folder.display());
    let mut found = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|e| Ok(e.with_context(cannot)?.path())).collect::<Result<Vec<_>>>()?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e).with_context(cannot),
    };
    found.sort();
    Ok(found)
}

/// Bytes of a file, or of all below a folder; symbolic links are not followed.
pub fn size(folder: &Path) -> u64 {
    let mut total = 0;
    let mut queue = vec![folder.to_path_buf()];
    while let Some(path) = queue.pop() {
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if about.is_dir() {
            queue.extend(fs::read_dir(&path).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())));
        } else {
            total += about.len();
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_owns() {
        let cache = tempfile::tempdir().unwrap();
        let at = |name: &str| cache.path().join(name);
        for folder in ["roots/aa.new", "roots/bb.new", "roots/good", "targets/half", "targets/busy", "targets/whole"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("targets/whole").join(store::FILE), "{}").unwrap();
        fs::create_dir_all(at("objects")).unwrap();
        fs::write(at("objects/.kmend-new"), "").unwrap();
        let hold = |name: &str| {
            let file = File::create(at(name)).unwrap();
            file.lock().unwrap();
            file
        };
        let held = [hold("roots/bb.lock"), hold("targets/busy.lock")];
        let found = in_cache(cache.path()).unwrap();
        let paths: Vec<_> = found.iter().map(|l| l.path.clone()).collect();
        assert_eq!(paths, [at("roots/aa.new"), at("targets/half")]);
        assert!(free(&at("roots/aa.lock")).is_none(), "held while it is removed");
        found.iter().for_each(|l| l.remove().unwrap());
        drop((found, held));
        let found = in_cache(cache.path()).unwrap();
        assert_eq!(found.iter().map(|l| l.path.clone()).collect::<Vec<_>>(), [at("roots/bb.new"), at("targets/busy")]);
    }

    #[test]
    fn work_folders_are_owned_while_their_process_lives() {
        let work = files::work_dir().unwrap();
        let mine = |all: Vec<Leftover>| all.into_iter().any(|l| l.path == work.path());
        assert!(!mine(all().unwrap()));
        assert!(work.path().join(OWNER).is_file());
    }
}
