// SPDX-License-Identifier: GPL-2.0-or-later
//! The folder for what takes long to make: the environment in, its path out.

use std::path::PathBuf;

/// The cache folder: `$KMEND_CACHE`, else `$XDG_CACHE_HOME/kmend`, else `~/.cache/kmend`; not always absolute. None where the
/// environment has none of them.
pub fn folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("KMEND_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("kmend")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/kmend")))
}

/// Its folder of emulators that the machine could not have as packages: PACKAGE/bin/PROGRAM.
pub const PROGRAMS: &str = "programs";
