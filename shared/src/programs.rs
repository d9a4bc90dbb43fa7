// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs of the machine: a name in, the file that a shell would start out.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The file `name` in one of the folders of PATH, the first that has it.
pub fn find(name: impl AsRef<Path>) -> Option<PathBuf> {
    find_in(&std::env::var_os("PATH").unwrap_or_default(), name)
}

/// The same in the folders of `path`, which is written as PATH is.
pub fn find_in(path: &OsStr, name: impl AsRef<Path>) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(&name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_that_has_it_counts() {
        let folders = ["a", "b", "c"].map(|name| std::env::temp_dir().join(format!("{}-{name}", std::process::id())));
        folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
        // A folder of that name is no program.
        std::fs::create_dir(folders[0].join("x")).unwrap();
        folders[1..].iter().for_each(|folder| std::fs::write(folder.join("x"), "").unwrap());
        let path = std::env::join_paths(&folders).unwrap();
        assert_eq!((find_in(&path, "x"), find_in(&path, "y")), (Some(folders[1].join("x")), None));
        folders.iter().for_each(|folder| std::fs::remove_dir_all(folder).unwrap());
    }
}
