// SPDX-License-Identifier: GPL-2.0-or-later
//! The installed live patches: /var/lib/kpatch/KERNEL/FILE.ko, where kpatch has them, and /usr/lib/kpatch/KERNEL/FILE.ko,
//! where packages and images bring them. A file goes by the name of the module in it, whatever it is called itself: that is
//! the name that the kernel has, and by which the crash breaker knows it.

use super::notes::{self, Good, Uninstalled};
use super::Host;
use crate::module::{self, compressed_by_name, named};
use crate::order::{self, Place, Version};
use crate::{files as disk, say};
use anyhow::{ensure, Result};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The folder of all that were installed by `install`.
pub const FOLDER: &str = "/var/lib/kpatch";

/// Where uninstalled versions are kept while a newer one is not known to be good ([`crate::last_good`]); by kernel, too.
pub const KEPT: &str = "/var/lib/kmend/last-good";

/// Where packages and images have their files, by kernel, too. kmend never writes there.
pub const PACKAGED: &str = "/usr/lib/kpatch";

/// One installed file.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The file.
    pub path: PathBuf,
    /// The module's own name; that of the file where the module in it cannot be read.
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
    ensure!(plain, "{release:?} is not a kernel release such as 5.14.0-362.8.1.el9_3.x86_64");
    Ok(host.at(folder).join(release))
}

/// Kernels that something is installed for, oldest first.
///
/// # Errors
/// The folder cannot be listed.
pub fn releases(host: &Host) -> Result<Vec<String>> {
    let mut names = sorted_names(host, FOLDER)?;
    names.extend(sorted_names(host, PACKAGED).unwrap_or_default());
    names.sort_by(|a, b| order::natural(a, b));
    names.dedup();
    Ok(names)
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
    [FOLDER, KEPT, PACKAGED].iter().any(|folder| path.starts_with(host.at(folder)))
}

/// Whether this is a file that a package or an image has brought for that kernel.
pub fn is_packaged(host: &Host, path: &Path, release: &str) -> bool {
    let folder = inside(host, PACKAGED, release).and_then(|folder| Ok(folder.canonicalize()?));
    let above = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    folder.is_ok_and(|folder| above.and_then(|above| above.canonicalize().ok()).is_some_and(|above| above == folder))
}

fn sorted_names(host: &Host, folder: &str) -> Result<Vec<String>> {
    let mut names = host.names(&host.at(folder))?;
    names.sort_by(|a, b| order::natural(a, b));
    Ok(names)
}

/// What is installed for one kernel, by stream and version, oldest first; each module once ([`doubles`] has the others).
///
/// # Errors
/// The folder cannot be listed.
pub fn installed(host: &Host, release: &str) -> Result<Vec<Installed>> {
    let mut found = each_once(every(host, release)?).0;
    sort(&mut found);
    Ok(found)
}

/// Every installed file, those in /var first; of those in /usr the ones that were not uninstalled. Of files of one folder
/// with one module, the one that is called like the module comes first.
fn every(host: &Host, release: &str) -> Result<Vec<Installed>> {
    let mut all = files(host, FOLDER, release)?;
    let uninstalled: Uninstalled = notes::read(host).unwrap_or_default();
    let packaged = files(host, PACKAGED, release).unwrap_or_default();
    all.extend(packaged.into_iter().filter(|i| !uninstalled.has(&i.name, release)));
    Ok(all)
}

/// The first file of each module, and the others.
fn each_once(all: Vec<Installed>) -> (Vec<Installed>, Vec<Installed>) {
    let mut seen = HashSet::new();
    all.into_iter().partition(|file| seen.insert(file.name.clone()))
}

/// Files that hold a module of the same name as another file, but not the same module: the file, and the other one, which
/// is the one that counts.
///
/// # Errors
/// The folder cannot be listed.
pub fn doubles(host: &Host, release: &str) -> Result<Vec<(Installed, Installed)>> {
    let (first, others) = each_once(every(host, release)?);
    let read = |file: &Installed| disk::read(&file.path, crate::module::preflight::LARGEST).ok();
    let pairs = others.into_iter().filter_map(|other| {
        let first = first.iter().find(|f| f.name == other.name)?;
        (read(first) != read(&other)).then(|| (other, first.clone()))
    });
    Ok(pairs.collect())
}

/// Files of compressed modules in the folders of installed ones, which are not loaded; by their names.
pub fn compressed(host: &Host, release: &str) -> Vec<PathBuf> {
    let folders = [FOLDER, PACKAGED].iter().filter_map(|folder| inside(host, folder, release).ok());
    let files = |folder: PathBuf| {
        let names = host.names(&folder).unwrap_or_default();
        names.into_iter().filter(|name| compressed_by_name(name).is_some()).map(move |name| folder.join(name))
    };
    folders.flat_map(files).collect()
}

/// Of one kernel the files in /var that hold this module.
///
/// # Errors
/// The folder cannot be listed.
pub fn in_var(host: &Host, release: &str, module: &str) -> Result<Vec<Installed>> {
    let mut all = files(host, FOLDER, release)?;
    all.retain(|i| i.name == module);
    Ok(all)
}

/// A packaged module no longer counts as installed, or does so again; whether that changed anything. The caller holds the
/// lock.
///
/// # Errors
/// The note cannot be written.
pub fn count_packaged(host: &Host, release: &str, module: &str, counts: bool) -> Result<bool> {
    let packaged = files(host, PACKAGED, release).unwrap_or_default().into_iter().any(|i| i.name == module);
    let mut note: Uninstalled = notes::read(host).unwrap_or_default();
    let was = note.has(module, release);
    if was != counts || !counts && !packaged {
        return Ok(false);
    }
    // What has gone with its package since is forgotten.
    note.uninstalled
        .retain(|u| files(host, PACKAGED, &u.release).unwrap_or_default().iter().any(|i| i.name == u.module));
    note.uninstalled.retain(|u| u.module != module || u.release != release);
    if !counts {
        note.uninstalled.push(Good { module: module.into(), release: release.into() });
    }
    notes::write(host, &note).map(|()| true)
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

/// The newest version of the stream that is newer than `place` and is installed.
///
/// # Errors
/// The folder of installed ones cannot be listed.
pub fn newer(host: &Host, release: &str, place: &Place) -> Result<Option<Version>> {
    let all = installed(host, release)?;
    let newer = all.into_iter().filter(|i| i.place.stream == place.stream && i.place.version > place.version);
    Ok(newer.filter_map(|i| i.place.version).max())
}

/// What can be loaded: installed ones and kept ones, in the same order. Where the kept ones cannot be listed there are
/// none, as installed ones shall be loaded all the same; [`crate::last_good::tidy`] tells of it before any load.
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
            let path = folder.join(&file);
            let name = name_of(&path);
            Installed { path, place: order::place(&name, release), name }
        })
        .collect();
    sort(&mut files);
    // Stable: what comes first of one name stays before the others.
    files.sort_by_key(|file| {
        let called = file.path.file_name().map(|name| order::module_name(&name.to_string_lossy()));
        called.as_ref() != Some(&file.name)
    });
    Ok(files)
}

/// The name that a module's file goes by: the module's own; where that cannot be read, the file's.
pub fn name_of(path: &Path) -> String {
    named::of_file(path).unwrap_or_else(|| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        order::module_name(&file).chars().map(plain).collect()
    })
}

/// The name of the module that `module` of a command line means: of a file that is named, or that is installed.
///
/// # Errors
/// The folder cannot be listed.
pub fn named(host: &Host, release: &str, module: &Path) -> Result<String> {
    let text = module.to_string_lossy();
    if text.ends_with(".ko") && module.is_file() {
        return Ok(name_of(module));
    }
    let file = module.file_name().unwrap_or_default().to_string_lossy();
    let found = if text.contains('/') { None } else { find_with_kept(host, release, &text)? };
    Ok(found.map_or_else(|| order::module_name(&file), |i| i.name))
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
    Ok(pick(every(host, release)?, module))
}

/// As [`find`], kept ones included.
///
/// # Errors
/// The folder cannot be listed.
pub fn find_with_kept(host: &Host, release: &str, module: &str) -> Result<Option<Installed>> {
    let mut all = every(host, release)?;
    all.extend(kept(host, release).unwrap_or_default());
    Ok(pick(all, module))
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
        "{}: its name contains invisible characters: rename it first",
        say::shown(&text)
    );
    if text.ends_with(".ko") && module.is_file() {
        return Ok(module.into());
    }
    if module.is_file() {
        module::refuse_compressed(&text)?;
    }
    // A package's script names the copy in /var that it has made, or for which there was no room.
    let copy = module.parent() == Some(&folder(host, release)?);
    let file = module.file_name().unwrap_or_default().to_string_lossy();
    let found = match text.contains('/') {
        true if copy => find(host, release, &file)?,
        true => None,
        false => find_with_kept(host, release, &text)?,
    };
    found.map(|i| i.path).ok_or_else(|| {
        anyhow::anyhow!(
            "can't find {text}: there is no such .ko file, and nothing of that name is installed for {release} in \
             {FOLDER}/{release} or {PACKAGED}/{release} (`kmend list` shows what is)"
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
