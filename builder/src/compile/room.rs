// SPDX-License-Identifier: GPL-2.0-or-later
//! How much room kept objects may take: the folder of the entries in; out, those gone that were of no use for longest.
//!
//! Every entry can be made again, and an entry that is used gets a new time (`cache.rs`). So the oldest go first, and where two runs do
//! that at a time, one finds them gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// MiB of kept objects, and the variable that says otherwise. One that is no number counts as if it were not set.
const DEFAULT: u64 = 20 << 10;
const VARIABLE: &str = "KMEND_CACHE_OBJECTS";

/// The most bytes that kept objects may take.
pub fn most() -> u64 {
    let given = std::env::var(VARIABLE).ok().and_then(|v| v.parse::<u64>().ok());
    given.unwrap_or(DEFAULT).saturating_mul(1 << 20)
}

/// Removes entries in `dir`, where they take more than `most` bytes, until they take nine tenths of that; how many bytes that were.
pub fn trim(dir: &Path, most: u64) -> u64 {
    let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for folder in fs::read_dir(dir).into_iter().flatten().flatten() {
        for entry in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            entries.push((used, about.len(), entry.path()));
        }
    }
    let all: u64 = entries.iter().map(|(_, size, _)| size).sum();
    if all <= most {
        return 0;
    }
    entries.sort();
    let (mut left, mut removed) = (all, 0);
    for (_, size, path) in entries {
        if left <= most / 10 * 9 {
            break;
        }
        left -= size;
        if fs::remove_file(path).is_ok() {
            removed += size;
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use std::time::Duration;

    #[test]
    fn what_is_of_no_use_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        for age in 0..10u64 {
            let path = dir.path().join(format!("{age:02}/entry"));
            files::write(&path, &[0; 100]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(age * 1000);
            fs::File::options().write(true).open(&path).unwrap().set_modified(used).unwrap();
        }
        let left = || (0..10).filter(|age| dir.path().join(format!("{age:02}/entry")).exists()).collect::<Vec<_>>();
        assert_eq!(trim(dir.path(), 1000), 0);
        assert_eq!((trim(dir.path(), 600), left()), (500, vec![0, 1, 2, 3, 4]));
        assert_eq!(trim(dir.path(), 600), 0);
        assert_eq!((trim(dir.path(), 0), left()), (500, vec![]));
        assert_eq!(trim(&dir.path().join("none"), 0), 0);
    }
}
