// SPDX-License-Identifier: GPL-2.0-or-later
//! Finds and reads the shipped files of modules: a target and a name in, the module out.

use super::Target;
use crate::elf::modinfo::modinfo;
use crate::elf::read::{read, Take};
use crate::files;
use crate::image::module::Module;
use crate::unpack;
use anyhow::{ensure, Context, Result};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// More than any module: a limit against input that unpacks without end.
const LIMIT: u64 = 1 << 30;

/// The shipped file of a module (name with underscores).
///
/// # Errors
/// No such file among the target's modules.
pub fn find(target: &Target, name: &str) -> Result<PathBuf> {
    let (mut all, place) = (index(target)?, place(target));
    all.remove(name).with_context(|| {
        format!("the module {name} is not below {}: is it the right kernel's folder?", place.display())
    })
}

/// The files of all modules that the target ships, by their names with underscores.
pub fn index(target: &Target) -> Result<BTreeMap<String, PathBuf>> {
    let place = place(target);
    let order = place.join("modules.order");
    // A tree is searched by kbuild's own list: quicker, and without what an older build left behind.
    if target.modules.is_none() && order.is_file() {
        return Ok(listed(place, &files::read_text(&order)?));
    }
    below(place)
}

/// Checks that the target has no module of its own, loadable or built in, with the name of a live patch: the kernel keeps
/// one folder below /sys/module for each name, and would take only one of the two.
///
/// # Errors
/// It has one, or its modules cannot be listed.
pub fn check_free(target: &Target, name: &str) -> Result<()> {
    let built_in = || {
        let list = files::read_text(&place(target).join("modules.builtin")).unwrap_or_default();
        list.lines().filter_map(|path| module_name(path.rsplit('/').next()?)).any(|known| known == name)
    };
    ensure!(
        !index(target)?.contains_key(name) && !built_in(),
        "a live patch module cannot be called {name}: {} has a module of that name. Choose another name",
        target.release
    );
    Ok(())
}

/// Where the target's modules are.
pub fn place(target: &Target) -> &Path {
    target.modules.as_ref().unwrap_or(&target.tree)
}

/// The modules that `order` lists, an object or a module a line, by their names.
fn listed(tree: &Path, order: &str) -> BTreeMap<String, PathBuf> {
    let lines = order.lines().map(str::trim).filter(|l| !l.is_empty());
    let files = lines.map(|l| tree.join(l).with_extension("ko"));
    files.filter_map(|file| Some((module_name(&file.file_name()?.to_string_lossy())?, file))).collect()
}

/// The module files in `folder` and the folders below it, by their names. Links are not followed: `build` and
/// `source` lead out of it.
pub fn below(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let kind = entry.file_type().with_context(|| entry.path().display().to_string())?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if let Some(name) = module_name(&entry.file_name().to_string_lossy()) {
                found.insert(name, entry.path());
            }
        }
    }
    Ok(found)
}

/// `a_b` of `a-b.ko.xz`; None for what is no module's file.
fn module_name(file: &str) -> Option<String> {
    let (stem, end) = file.split_once(".ko")?;
    (!stem.is_empty() && matches!(end, "" | ".xz" | ".zst" | ".gz")).then(|| stem.replace('-', "_"))
}

/// Checks that the modules in `folder` are those of the kernel `release`, by the first of them.
///
/// # Errors
/// There are none; that one is for another kernel, or cannot be read.
pub fn check_release(folder: &Path, release: &str) -> Result<()> {
    let all = below(folder)?;
    let (_, first) = all.first_key_value().with_context(|| format!("there are no modules in {}", folder.display()))?;
    let module = read_module(first)?;
    let info = modinfo(&module.object);
    let vermagic = info.iter().find(|(name, _)| name == "vermagic").map_or("", |(_, value)| value);
    let has = vermagic.split(' ').next().unwrap_or_default();
    ensure!(
        has == release,
        "{} is a module of the kernel {has:?}, the image is {release}: they do not belong together",
        first.display()
    );
    Ok(())
}

/// The bytes of a module file, decompressed.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    unpack::unpacked(path, files::read(path)?, LIMIT)
}

/// Reads a shipped module to prove against.
pub fn load(target: &Target, name: &str) -> Result<Module> {
    read_module(&find(target, name)?)
}

fn read_module(path: &Path) -> Result<Module> {
    let object = read(&bytes(path)?, Take::NoDebug).with_context(|| path.display().to_string())?;
    Ok(Module { object })
}

/// Whether the shipped module `name` cannot be loaded without `other`: it depends on it, or on one that does, as far as
/// `modules` has these.
pub fn depends_on(modules: &BTreeMap<String, Module>, name: &str, other: &str) -> bool {
    between(modules, name, other, &mut |_| Ok(None)).unwrap_or(false)
}

/// Reads into `modules` those by way of which `name` depends on `other`, where it does not do so itself.
///
/// # Errors
/// A module that is no ELF file.
pub fn load_between(target: &Target, modules: &mut BTreeMap<String, Module>, name: &str, other: &str) -> Result<()> {
    if depends_on(modules, name, other) {
        return Ok(());
    }
    let shipped = index(target)?;
    let mut read_too = BTreeMap::new();
    between(modules, name, other, &mut |name| {
        let Some(path) = shipped.get(name) else { return Ok(None) };
        let module = read_module(path)?;
        let depends = module.depends();
        read_too.insert(name.to_string(), module);
        Ok(Some(depends))
    })?;
    modules.append(&mut read_too);
    Ok(())
}

/// Follows what modules depend on; `more` says it of those that are not in `modules`.
fn between(
    modules: &BTreeMap<String, Module>,
    name: &str,
    other: &str,
    more: &mut dyn FnMut(&str) -> Result<Option<Vec<String>>>,
) -> Result<bool> {
    let mut seen = BTreeSet::from([name.to_string()]);
    let mut next = VecDeque::from([name.to_string()]);
    while let Some(module) = next.pop_front() {
        let depends = match modules.get(&module) {
            Some(module) => module.depends(),
            None => more(&module)?.unwrap_or_default(),
        };
        if depends.iter().any(|d| d == other) {
            return Ok(true);
        }
        next.extend(depends.into_iter().filter(|d| seen.insert(d.clone())));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::X86_64;
    use crate::elf::{Object, Section};

    #[test]
    fn dependencies_are_followed_through() {
        let module = |depends: &str| Module {
            object: Object {
                arch: &X86_64,
                flags: 0,
                sections: vec![Section {
                    name: ".modinfo".into(),
                    data: format!("license=GPL\0depends={depends}\0").into_bytes(),
                    ..Section::default()
                }],
                symbols: Vec::new(),
            },
        };
        let named = |all: &[(&str, &str)]| -> BTreeMap<String, Module> {
            all.iter().map(|(name, depends)| (name.to_string(), module(depends))).collect()
        };
        let all = named(&[("mt76_usb", "mt76"), ("mt76", "cfg80211,mac-80211"), ("mac_80211", "cfg80211,mt76")]);
        assert!(depends_on(&all, "mt76_usb", "mt76") && depends_on(&all, "mt76_usb", "mac_80211"));
        assert!(!depends_on(&all, "mt76", "mt76_usb") && !depends_on(&all, "mt76_usb", "usbcore"));
        let mut asked = Vec::new();
        let more = &mut |name: &str| {
            asked.push(name.to_string());
            Ok((name == "mt76").then(|| vec!["mac80211".to_string()]))
        };
        assert!(between(&named(&[("mt76_usb", "usbcore,mt76")]), "mt76_usb", "mac80211", more).unwrap());
        assert_eq!(asked, ["usbcore", "mt76"]);
    }

    #[test]
    fn files_of_modules_and_others() {
        assert_eq!(module_name("a-b.ko").as_deref(), Some("a_b"));
        assert_eq!(module_name("a.ko.xz").as_deref(), Some("a"));
        for other in ["a.o", ".a.ko.cmd", "a.kobject", "a.ko.bz2", ".ko"] {
            assert_eq!(module_name(other), None, "{other}");
        }
        let dir = tempfile::tempdir().unwrap();
        for file in ["kernel/net/a-b.ko.xz", "kernel/.c.ko.cmd", "d.ko"] {
            files::write(&dir.path().join(file), b"").unwrap();
        }
        assert_eq!(below(dir.path()).unwrap().into_keys().collect::<Vec<_>>(), ["a_b", "d"]);
    }

    #[test]
    fn kbuild_lists_the_modules_of_a_tree() {
        let found = listed(Path::new("/t"), "drivers/net/dummy.o\nnet/802/p8022.ko\n\n");
        let files: Vec<_> = found.iter().map(|(name, file)| (name.as_str(), file.to_str().unwrap())).collect();
        assert_eq!(files, [("dummy", "/t/drivers/net/dummy.ko"), ("p8022", "/t/net/802/p8022.ko")]);
    }
}
