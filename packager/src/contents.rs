// SPDX-License-Identifier: GPL-2.0-or-later
//! What is in the package of a program: the program, what it needs, and what belongs below /usr/share.

use crate::module::Needs;
use crate::text;
use anyhow::{ensure, Context, Result};
use kmend_shared::arch::ArchNames as Arch;
use std::path::{Path, PathBuf};

/// What is put where.
pub(crate) struct Contents {
    pub needs: Needs,
    /// Path on the host, mode, data.
    pub files: Vec<(String, u16, Vec<u8>)>,
    /// Path on the host, where it leads.
    pub links: Vec<(String, String)>,
}

impl Contents {
    /// The newest version of glibc's symbols that the program uses: 2.34
    pub(crate) fn glibc(&self) -> Option<String> {
        let numbers = |version: &str| version.split('.').map(|n| n.parse::<u32>().unwrap_or(0)).collect::<Vec<_>>();
        self.needs
            .versions
            .iter()
            .filter_map(|(_, version)| {
                version.strip_prefix("GLIBC_").filter(|v| v.starts_with(|c: char| c.is_ascii_digit()))
            })
            .max_by_key(|version| numbers(version))
            .map(str::to_owned)
    }

    /// Debian's packages that hold the libraries of the program at `path`.
    ///
    /// # Errors
    /// A library whose package is not known.
    pub(crate) fn debian_libraries(&self, path: &Path) -> Result<Vec<String>> {
        for library in &self.needs.libraries {
            let known = ["libc.so.", "libm.so.", "libgcc_s.so.", "ld-linux-", "ld64.so."];
            ensure!(
                known.iter().any(|l| library.starts_with(l)),
                "{} needs {library}, and which Debian package that is in is not known\n  what you can do: link it statically",
                path.display()
            );
        }
        let libc = self.glibc().map(|version| format!("libc6 (>= {version})"));
        let is_gcc = |library: &String| library.starts_with("libgcc_s.so.");
        let gcc = self.needs.libraries.iter().any(is_gcc).then(|| "libgcc-s1".to_string());
        Ok(libc.into_iter().chain(gcc).collect())
    }

    /// What an RPM requires for the program's libraries.
    pub(crate) fn rpm_libraries(&self) -> impl Iterator<Item = String> + '_ {
        let libraries = self.needs.libraries.iter().map(|library| format!("{library}()(64bit)"));
        libraries.chain(self.needs.versions.iter().map(|(library, version)| format!("{library}({version})(64bit)")))
    }

    /// The program's architecture.
    pub(crate) fn arch(&self) -> Arch {
        self.needs.arch
    }
}

/// Folders of /usr/share that man pages, completions and documents are in; the second part is the folder within, or how it
/// begins.
const SHARED: &[(&str, &str)] = &[
    ("man", "man"),
    ("bash-completion", "completions"),
    ("zsh", "site-functions"),
    ("fish", "vendor_completions.d"),
    ("doc", "kmend"),
];

/// Files of a folder that is laid out as /usr/share is: place in it, path; in the order of their places.
pub(crate) fn shared(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for (above, path) in entries(folder)? {
        for (within, path) in entries(&path)? {
            let known = SHARED.iter().any(|(a, w)| *a == above && within.starts_with(w));
            ensure!(known, "{} is no folder of man pages, completions or documents in /usr/share", path.display());
            for (name, path) in entries(&path)? {
                found.push((format!("{above}/{within}/{name}"), path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What is in a folder: names of harmless characters, paths.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let cannot = || format!("cannot read folder {}", folder.display());
    let paths = std::fs::read_dir(folder).with_context(cannot)?.map(|e| e.map(|e| e.path()));
    let named = |path: PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).map(str::to_owned);
        let name = name.with_context(|| format!("{} has a strange name", path.display()))?;
        text::word("file name", &name, "-._")?;
        Ok((name, path))
    };
    paths.collect::<std::io::Result<Vec<_>>>().with_context(cannot)?.into_iter().map(named).collect()
}
