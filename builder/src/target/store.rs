// SPDX-License-Identifier: GPL-2.0-or-later
//! Keeps prepared targets in the cache: list, load, save, remove, resolve a name.
//!
//! Layout: `<cache>/targets/<escaped name>/target.json`, written last; a folder without it is no target.

use super::distro::{self, Origin};
use super::{record, tree, Target};
use crate::image::vmlinuz;
use crate::{files, sandbox};
use anyhow::{bail, ensure, Context, Result};
use serde_json::Value;
use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

/// The record of a target, in its folder.
pub const FILE: &str = "target.json";

/// The folder of all targets.
fn targets_dir() -> Result<PathBuf> {
    Ok(files::cache_dir()?.join("targets"))
}

/// The folder of the target `name`, there or not.
pub fn dir(name: &str) -> Result<PathBuf> {
    // An empty name would stand for the folder of all targets.
    ensure!(!name.is_empty(), not_there(name, &list()?.0));
    Ok(targets_dir()?.join(escape(name)))
}

/// Takes the lock of the target `name`.
pub fn lock(name: &str) -> Result<files::Lock> {
    dir(name)?;
    let file = targets_dir()?.join(format!("{}.lock", escape(name)));
    files::lock(&file, &format!("works on the target {name}"))
}

/// A name as a file name: every byte but letters, digits, `-`, `.`, `_` and `+` becomes %XX. Different
/// names give different file names, and none is hidden or leaves its folder.
pub fn escape(name: &str) -> String {
    let mut out = String::new();
    for (i, b) in name.bytes().enumerate() {
        let plain = b.is_ascii_alphanumeric() || b"-_+".contains(&b) || (b == b'.' && i > 0);
        if plain {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// Writes the target's record: from now on it is there.
pub fn save(target: &Target) -> Result<()> {
    files::write(&dir(&target.name)?.join(FILE), text(target)?.as_bytes())
}

/// The target's record. Its paths are relative to the cache folder where they are in it, so that the folder can be moved.
pub(super) fn text(target: &Target) -> Result<String> {
    let cache = files::cache_dir()?;
    let inside = |path: PathBuf| path.strip_prefix(&cache).map(Path::to_path_buf).unwrap_or(path);
    let text = serde_json::to_string_pretty(&target.clone().with_paths(inside)).context("target.json")?;
    Ok(text + "\n")
}

/// The stored target of exactly this name, unchecked; None when there is none. A record that cannot
/// be read is an error.
pub fn get(name: &str) -> Result<Option<Target>> {
    let file = dir(name)?.join(FILE);
    if !file.exists() {
        return Ok(None);
    }
    read(&file).map(Some)
}

fn read(file: &Path) -> Result<Target> {
    parse(&files::read_text(file)?).with_context(|| {
        let folder = file.parent().and_then(|d| d.file_name()).unwrap_or_default();
        let name = unescape(&folder.to_string_lossy());
        format!(
            "{} is damaged; `kmend-build target remove {name}` removes it, then add the target again",
            file.display()
        )
    })
}

/// Reads a record, whose relative paths are below the cache folder. Those written before targets had an [`Origin`] get the one that
/// their other fields tell.
fn parse(text: &str) -> Result<Target> {
    let mut record: Value = serde_json::from_str(text)?;
    if let Some(fields) = record.as_object_mut().filter(|fields| !fields.contains_key("origin")) {
        let get = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let (name, path) = (get("name"), |field| Path::new(get(field)));
        let origin = match distro::of_name(name) {
            Some((distro, _)) => {
                let mut added = vec![name.to_string()];
                if get("arch") != kmend_shared::arch::host() {
                    added.extend(["--arch", get("arch")].map(String::from));
                }
                Origin { distro: Some(distro.facts().name.into()), added }
            }
            None => tree::origin(name, path("tree"), path("vmlinux"), path("root")),
        };
        fields.insert("origin".into(), serde_json::to_value(origin)?);
    }
    let target: Target = serde_json::from_value(record)?;
    let cache = files::cache_dir()?;
    Ok(target.with_paths(|path| cache.join(path)))
}

/// The name that [`escape`] made `file_name` of.
fn unescape(file_name: &str) -> String {
    let mut out = Vec::new();
    let mut rest = file_name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| first == b'%').and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// All stored targets by name, unchecked; and what could not be read.
pub fn list() -> Result<(Vec<Target>, Vec<anyhow::Error>)> {
    let (mut targets, mut broken) = (Vec::new(), Vec::new());
    let folder = targets_dir()?;
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((targets, broken)),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", folder.display())),
    };
    for entry in entries {
        let file = entry.with_context(|| format!("cannot read {}", folder.display()))?.path().join(FILE);
        if file.exists() {
            match read(&file) {
                Ok(target) => targets.push(target),
                Err(fault) => broken.push(fault),
            }
        }
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((targets, broken))
}

/// Names of targets that are not finished: being made, or left by a run that was killed.
pub fn unfinished() -> Result<Vec<String>> {
    let folder = targets_dir()?;
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        if path.is_dir() && !path.join(FILE).exists() {
            names.extend(path.file_name().map(|name| unescape(&name.to_string_lossy())));
        }
    }
    names.sort();
    Ok(names)
}

/// The stored target that `name` means: the exact name, or the newest one below it (`debian:forky` means
/// the newest plain kernel of `debian:forky/…`, `debian:forky/cloud` the newest of that flavour; where several architectures are
/// stored, this machine's).
pub fn resolve(name: &str) -> Result<Target> {
    if let Some(target) = get(name)? {
        return Ok(target);
    }
    let (all, _) = list()?;
    let below: Vec<Target> = match distro::newest(name) {
        Some((start, flavour)) => {
            let is_meant = |t: &&Target| is_below(&t.name, start) && distro::flavour(&t.name, &t.release) == flavour;
            all.iter().filter(is_meant).cloned().collect()
        }
        None => Vec::new(),
    };
    let native: Vec<Target> = below.iter().filter(|t| t.arch == kmend_shared::arch::host()).cloned().collect();
    let candidates = if native.is_empty() { below } else { native };
    let mut candidates = candidates.into_iter();
    let mut newest = candidates.next().ok_or_else(|| not_there(name, &all))?;
    for other in candidates {
        let order = distro::of_name(&newest.name)
            .context("nothing says which of them is newer")
            .and_then(|(distro, _)| distro.order(&newest.version, &other.version))
            .with_context(|| {
                format!("{name} means the newest of several kernels; name one: {} or {}", newest.name, other.name)
            })?;
        if order == Ordering::Less {
            newest = other;
        }
    }
    Ok(newest)
}

fn is_below(stored: &str, name: &str) -> bool {
    stored.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
}

fn not_there(name: &str, all: &[Target]) -> anyhow::Error {
    let have: Vec<&str> = all.iter().map(|t| t.name.as_str()).collect();
    let have =
        if have.is_empty() { "there is none yet".to_string() } else { format!("there are: {}", have.join(", ")) };
    let how = match distro::of_name(name) {
        Some((distro, _)) => format!("{}, `kmend-build target add {name}` makes it", distro.facts().missing),
        None if name.starts_with("tree:") => "`kmend-build target add --tree DIR` makes one".to_string(),
        None => format!("names look like {} or tree:NAME", distro::examples().join(" or ")),
    };
    anyhow::anyhow!("no target {name:?} is stored ({have}); {how}")
}

/// Loads the target that `name` means, after a cheap look whether all of it is still there and its
/// compilers are still those it was made with.
pub fn load(name: &str) -> Result<Target> {
    let target = resolve(name)?;
    // Else the target would be called unusable.
    crate::sandbox::possible()?;
    check(&target).with_context(|| {
        let again = again(&target);
        format!("target {} can no longer be used; `{again}` makes it again", target.name)
    })?;
    Ok(target)
}

/// The commands that make `target` anew.
pub(crate) fn again(target: &Target) -> String {
    if target.imported.is_some() {
        return format!("kmend-build target remove {} && kmend-build target import FILE", target.name);
    }
    let added: Vec<String> = target.origin.added.iter().map(|word| quoted(word)).collect();
    format!("kmend-build target remove {} && kmend-build target add {}", target.name, added.join(" "))
}

/// `word` as a shell takes it for one word.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+~:/@%=,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Whether everything that `target` names is there and the compilers have not drifted.
pub fn check(target: &Target) -> Result<()> {
    check_files(target)?;
    check_compilers(target)
}

/// Whether everything that `target` names is there, and the image still is the same kernel.
pub fn check_files(target: &Target) -> Result<()> {
    let files: [&Path; 5] = [&target.tree, &target.vmlinuz, &target.vmlinux, &target.symvers, &target.config];
    for path in files.into_iter().chain(target.modules.as_deref()) {
        ensure!(path.exists(), "{} is gone", path.display());
    }
    for file in ["Makefile", "include/generated/autoconf.h", "scripts/module.lds"] {
        ensure!(target.tree.join(file).exists(), "{} is gone", target.tree.join(file).display());
    }
    let id = vmlinuz::build_id_of(&target.vmlinux)?;
    ensure!(
        id == target.build_id,
        "{} is a different kernel now: build id {id}, was {}",
        target.vmlinux.display(),
        target.build_id
    );
    Ok(())
}

/// Whether the compilers are there, and still those that the target was made with.
pub fn check_compilers(target: &Target) -> Result<()> {
    ensure!(target.root.exists(), "the build root {} is gone", target.root.display());
    let cc = target.make_vars.iter().find_map(|v| v.strip_prefix("CC=")).unwrap_or("gcc");
    let now = record::compilers(&sandbox::Sandbox::new(&target.root), cc, target.rustc.is_some())?;
    ensure!(now.cc == target.cc, "the C compiler drifted: it was {:?}, now it is {:?}", target.cc, now.cc);
    ensure!(
        now.rustc == target.rustc,
        "the Rust compiler drifted: it was {:?}, now it is {:?}",
        target.rustc.as_deref().unwrap_or("none"),
        now.rustc.as_deref().unwrap_or("none")
    );
    target.toolchain.as_ref().map_or(Ok(()), |toolchain| toolchain.check())
}

/// Removes the target of exactly this name (or the unfinished one), or the only one below it; gives its whole name.
///
/// # Errors
/// There is none, several are below that name, or its files cannot be removed.
pub fn remove(name: &str) -> Result<String> {
    let name = match dir(name)?.exists() {
        true => name.to_string(),
        false => {
            let all = list()?.0;
            let below: Vec<&str> = all.iter().map(|t| t.name.as_str()).filter(|n| is_below(n, name)).collect();
            match below[..] {
                [] => bail!(not_there(name, &all)),
                [one] => one.to_string(),
                _ => bail!("{name} means several targets: say which of {}", below.join(", ")),
            }
        }
    };
    let _lock = lock(&name)?;
    // The record goes first: what is half removed is no target.
    forget(&name)?;
    files::remove_dir(&dir(&name)?)?;
    Ok(name)
}

/// Removes the record of a target and nothing else.
pub fn forget(name: &str) -> Result<()> {
    let file = dir(name)?.join(FILE);
    match fs::remove_file(&file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names() {
        assert_eq!(escape("debian:forky/7.2.12+deb14-amd64"), "debian%3Aforky%2F7.2.12+deb14-amd64");
        assert_eq!(escape("../../etc"), "%2E.%2F..%2Fetc");
        assert_eq!(escape(".hidden"), "%2Ehidden");
        assert_eq!(escape("a%2Fb"), "a%252Fb");
        assert_ne!(escape("a/b"), escape("a%2Fb"));
        assert_eq!(escape("ä"), "%C3%A4");
        for name in ["debian:forky/7.2.12+deb14-amd64", ".x", "a%2Fb", "ä", ""] {
            assert_eq!(unescape(&escape(name)), name);
        }
        assert_eq!(unescape("%"), "%");
        assert_eq!(unescape("%zz%4"), "%zz%4");
    }

    #[test]
    fn names_below_a_suite() {
        assert!(is_below("debian:forky/7.2.12+deb14-amd64", "debian:forky"));
        assert!(!is_below("debian:forky-x/7.2", "debian:forky"));
        assert!(!is_below("debian:forky", "debian:forky"));
    }

    #[test]
    fn records_of_before_origins_are_read() {
        let (tree, root) = (Path::new("/src/linux"), Path::new("/root dir"));
        let old = |change: &dyn Fn(&mut Target)| {
            let mut target = crate::target::sample::target(tree, root);
            target.vmlinux = tree.join("vmlinux");
            change(&mut target);
            let mut record = serde_json::to_value(&target).unwrap();
            record.as_object_mut().unwrap().remove("origin").unwrap();
            parse(&record.to_string()).unwrap()
        };
        let tree = old(&|_| {});
        assert_eq!(tree.origin.distro, None);
        let again = "kmend-build target remove tree:test && kmend-build target add --tree /src/linux --name test --root '/root dir'";
        assert_eq!(super::again(&tree), again);
        let debian = old(&|t| (t.name, t.arch) = ("debian:forky/7".into(), "m68k".into()));
        assert_eq!(debian.origin.distro.as_deref(), Some("debian"));
        assert_eq!(debian.origin.added, ["debian:forky/7", "--arch", "m68k"]);
        // A record of today is taken at its word.
        let made_by = Origin { distro: Some("debian".into()), added: vec!["debian:forky/7".into(), "--mirror".into()] };
        let today = Target { origin: made_by.clone(), ..debian };
        assert_eq!(parse(&serde_json::to_string(&today).unwrap()).unwrap().origin, made_by);
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        for text in ["", "{", "{}", "[]", "\u{0}"] {
            fs::write(&file, text).unwrap();
            let said = format!("{:#}", read(&file).unwrap_err());
            assert!(said.contains("damaged"), "{said}");
        }
    }

    #[test]
    fn a_name_that_is_not_there_says_how_to_add_it() {
        let said = not_there("debian:forky", &[]).to_string();
        assert!(said.contains("target add debian:forky"), "{said}");
    }
}
