// SPDX-License-Identifier: GPL-2.0-or-later
//! The installed live patches: /var/lib/kpatch/KERNEL/FILE.ko, where kpatch has them.

use super::Host;
use crate::order::{self, Place, Version};
use crate::say;
use anyhow::{ensure, Result};
use std::path::{Path, PathBuf};

/// The folder of all.
pub const FOLDER: &str = "/var/lib/kpatch";

/// Where uninstalled versions are kept while a newer one is not known to be good ([`crate::kept`]); by kernel, too.
pub const KEPT: &str = "/var/lib/kmend/last-good";

/// Where packages have their files, from which their scripts install; by kernel, too.
const PACKAGED: &str = "/usr/lib/kpatch";

/// One installed file.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The file.
    pub path: PathBuf,
    /// The module's name, by the name of the file.
    pub name: String,
    /// Its stream and version.
    pub place: Place,
}

impl Installed {
    /// Whether it is a newer version of the same stream.
    pub fn is_newer(&self, than: &Self) -> bool {
        self.place.stream == than.place.stream && self.place.version > than.place.version
    }
}

/// The folder of one kernel.
///
/// # Errors
/// A release that is none: it would lead out of the folder.
pub fn folder(host: &Host, release: &str) -> Result<PathBuf> {
    inside(host, FOLDER, release)
}

fn inside(host: &Host, folder: &str, release: &str) -> Result<PathBuf> {
    let plain = !release.is_empty() && !release.starts_with('.') && !release.contains(['/', '\0', '\n']);
    ensure!(plain, "{release:?} is no kernel version: one looks like 5.14.0-362.8.1.el9_3.x86_64");
    Ok(host.at(folder).join(release))
}

/// Kernels that something is installed for, oldest first.
///
/// # Errors
/// The folder cannot be listed.
pub fn releases(host: &Host) -> Result<Vec<String>> {
    sorted_names(host, FOLDER)
}

/// Kernels that something is kept for.
///
/// # Errors
/// The folder cannot be listed.
pub fn kept_releases(host: &Host) -> Result<Vec<String>> {
    sorted_names(host, KEPT)
}

/// Whether this is one of the files that are loaded at boot, installed or kept.
pub fn is_one(host: &Host, path: &Path) -> bool {
    path.starts_with(host.at(FOLDER)) || path.starts_with(host.at(KEPT))
}

fn sorted_names(host: &Host, folder: &str) -> Result<Vec<String>> {
    let mut names = host.names(&host.at(folder))?;
    names.sort_by(|a, b| order::natural(a, b));
    Ok(names)
}

/// What is installed for one kernel, by stream and version, oldest first.
///
/// # Errors
/// The folder cannot be listed.
pub fn installed(host: &Host, release: &str) -> Result<Vec<Installed>> {
    files(host, FOLDER, release)
}

/// What is in the folder of kept ones for one kernel, in the same order.
///
/// # Errors
/// The folder cannot be listed.
pub fn in_kept_folder(host: &Host, release: &str) -> Result<Vec<Installed>> {
    files(host, KEPT, release)
}

/// Kept ones that are not installed as well.
///
/// # Errors
/// A folder cannot be listed.
pub fn kept(host: &Host, release: &str) -> Result<Vec<Installed>> {
    let (mut kept, installed) = (in_kept_folder(host, release)?, installed(host, release)?);
    kept.retain(|k| installed.iter().all(|i| i.name != k.name));
    Ok(kept)
}

/// The newest version of the stream that is newer than `place` and is installed, or whose package is: its file may have
/// found no room in /var.
///
/// # Errors
/// The folder of installed ones cannot be listed.
pub fn newer(host: &Host, release: &str, place: &Place) -> Result<Option<Version>> {
    let mut all = installed(host, release)?;
    all.extend(files(host, PACKAGED, release).unwrap_or_default());
    let newer = all.into_iter().filter(|i| i.place.stream == place.stream && i.place.version > place.version);
    Ok(newer.filter_map(|i| i.place.version).max())
}

/// What can be loaded: installed ones and kept ones, in the same order. Where the kept ones cannot be listed there are
/// none, as installed ones shall be loaded all the same; [`crate::kept::tidy`] tells of it before any load.
///
/// # Errors
/// The folder of installed ones cannot be listed.
pub fn with_kept(host: &Host, release: &str) -> Result<Vec<Installed>> {
    let mut all = installed(host, release)?;
    all.extend(kept(host, release).unwrap_or_default());
    sort(&mut all);
    Ok(all)
}

fn files(host: &Host, folder: &str, release: &str) -> Result<Vec<Installed>> {
    let folder = inside(host, folder, release)?;
    let mut files: Vec<Installed> = host
        .names(&folder)?
        .into_iter()
        .filter(|file| file.ends_with(".ko"))
        .map(|file| {
            let name = order::module_name(&file);
            Installed { path: folder.join(&file), place: order::place(&name, release), name }
        })
        .collect();
    sort(&mut files);
    Ok(files)
}

fn sort(files: &mut [Installed]) {
    files.sort_by(|a, b| {
        let stream = order::natural(&a.place.stream, &b.place.stream);
        stream.then(a.place.version.cmp(&b.place.version)).then_with(|| a.path.cmp(&b.path))
    });
}

/// Installed files by stream, each newest first.
pub fn streams(installed: Vec<Installed>) -> Vec<Vec<Installed>> {
    let mut streams: Vec<Vec<Installed>> = Vec::new();
    for file in installed {
        match streams.last_mut().filter(|s| s[0].place.stream == file.place.stream) {
            Some(stream) => stream.push(file),
            None => streams.push(vec![file]),
        }
    }
    streams.iter_mut().for_each(|stream| stream.reverse());
    streams
}

/// The installed file that `module` means: the name of a file, or of a module with dashes or underscores.
///
/// # Errors
/// The folder cannot be listed.
pub fn find(host: &Host, release: &str, module: &str) -> Result<Option<Installed>> {
    Ok(pick(installed(host, release)?, module))
}

/// As [`find`], kept ones included.
///
/// # Errors
/// The folder cannot be listed.
pub fn find_with_kept(host: &Host, release: &str, module: &str) -> Result<Option<Installed>> {
    Ok(pick(with_kept(host, release)?, module))
}

fn pick(all: Vec<Installed>, module: &str) -> Option<Installed> {
    let by_file = all.iter().position(|i| i.path.file_name().is_some_and(|n| n == module));
    let wanted = order::module_name(module);
    let found = by_file.or_else(|| all.iter().position(|i| i.name == wanted));
    found.and_then(|at| all.into_iter().nth(at))
}

/// Where `module` of a command line is: a path to a .ko, else an installed or kept one for `release`, as kpatch does.
///
/// # Errors
/// There is none.
pub fn locate(host: &Host, release: &str, module: &Path) -> Result<PathBuf> {
    let text = module.to_string_lossy();
    ensure!(
        say::shown(&text) == text,
        "{}: its name has characters that are not shown: rename it first",
        say::shown(&text)
    );
    if text.ends_with(".ko") && module.is_file() {
        return Ok(module.into());
    }
    let found = if text.contains('/') { None } else { find_with_kept(host, release, &text)? };
    found.map(|i| i.path).ok_or_else(|| {
        anyhow::anyhow!(
            "can't find {text}: there is no such .ko file, and nothing of that name is installed for {release} in \
             {FOLDER}/{release} (`kmend list` shows what is)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_by_stream_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        let release = "5.14.0-362.8.1.el9_3.x86_64";
        let folder = folder(&host, release).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        for name in [
            "kpatch-5_14_0-362_8_1-1-9.ko",
            "kpatch-5_14_0-362_8_1-1-10.ko",
            "kpatch-own.ko",
            ".kmend-new",
            "kpatch-5_14_0-362_8_1-1-11.ko.rpmsave",
        ] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let streams = streams(installed(&host, release).unwrap());
        let names: Vec<Vec<&str>> = streams.iter().map(|s| s.iter().map(|i| i.name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["kpatch_5_14_0_362_8_1_1_10", "kpatch_5_14_0_362_8_1_1_9"], vec!["kpatch_own"]]);
        let found = |module: &str| find(&host, release, module).unwrap().map(|i| i.name);
        assert_eq!(found("kpatch-own.ko").as_deref(), Some("kpatch_own"));
        assert_eq!(found("kpatch_own").as_deref(), Some("kpatch_own"));
        assert_eq!(found("kpatch-own").as_deref(), Some("kpatch_own"));
        assert_eq!(found("own"), None);
        assert!(locate(&host, release, Path::new("../kpatch_own")).is_err());
    }

    #[test]
    fn a_kernel_version_leads_nowhere_else() {
        let host = Host::new("/nowhere");
        for bad in ["", ".", "..", "../etc", "a/b", "/etc", "a\n"] {
            assert!(folder(&host, bad).is_err(), "{bad:?}");
        }
    }
}
