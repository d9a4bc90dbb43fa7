// SPDX-License-Identifier: GPL-2.0-or-later
//! The modules that a target ships: a name in, the module and what it depends on out, in loading order.

use crate::target::modules;
use crate::target::Target;
use anyhow::{bail, Context, Result};
use object::{Object, ObjectSection};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The modules of a target, by name.
#[derive(Debug)]
pub struct Shipped {
    place: PathBuf,
    by_name: BTreeMap<String, PathBuf>,
}

/// A shipped module as `insmod` takes it.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// The ELF file, decompressed.
    pub elf: Vec<u8>,
}

/// A module's name as the kernel has it.
pub fn kernel_name(name: &str) -> String {
    name.replace('-', "_")
}

impl Shipped {
    /// The modules of `target`.
    pub fn of(target: &Target) -> Result<Self> {
        Ok(Self { place: modules::place(target).into(), by_name: modules::index(target)? })
    }

    /// Whether the target ships a module `name`.
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(&kernel_name(name))
    }

    /// The module `name` and everything it depends on, each before those that need it.
    pub fn with_dependencies(&self, name: &str) -> Result<Vec<Module>> {
        let mut order: Vec<Module> = Vec::new();
        self.add(name, &mut Vec::new(), &mut order)?;
        Ok(order)
    }

    fn add(&self, name: &str, under_way: &mut Vec<String>, order: &mut Vec<Module>) -> Result<()> {
        let name = kernel_name(name);
        if order.iter().any(|m| m.name == name) {
            return Ok(());
        }
        if under_way.contains(&name) {
            bail!("the modules {} depend on each other in a circle", under_way.join(", "));
        }
        let Some(path) = self.by_name.get(&name) else {
            bail!("the target ships no module `{name}` below {}", self.place.display());
        };
        let elf = modules::bytes(path)?;
        let mut needs = depends(&elf).with_context(|| format!("{}: not a kernel module", path.display()))?;
        // What may be missing is loaded where it is there, as modprobe does. The crypto API's aliases name algorithms;
        // of their modules one is good for all processors.
        let generic = |name: &String| format!("{}_generic", name.trim_start_matches("crypto_"));
        let soft = wishes(&elf)?.into_iter().flat_map(|name| [generic(&name), name]);
        needs.extend(soft.filter(|name| self.by_name.contains_key(name)));
        under_way.push(name.clone());
        for needed in needs {
            self.add(&needed, under_way, order)?;
        }
        under_way.pop();
        order.push(Module { name, elf });
        Ok(())
    }
}

/// The names behind `depends=` in the .modinfo of a module's ELF file.
///
/// # Errors
/// It is no ELF file, or has no .modinfo.
pub fn depends(elf: &[u8]) -> Result<Vec<String>> {
    let words = modinfo(elf, "depends=")?.into_iter().next().unwrap_or_default();
    Ok(words.split(',').filter(|w| !w.is_empty()).map(kernel_name).collect())
}

/// The names behind `pre:` in the `softdep=` entries of a module's .modinfo (modprobe.d(5)).
fn wishes(elf: &[u8]) -> Result<Vec<String>> {
    let pre = |entry: &String| {
        let words = entry.split_whitespace().skip_while(|w| *w != "pre:").skip(1);
        words.take_while(|w| *w != "post:").map(kernel_name).collect::<Vec<_>>()
    };
    Ok(modinfo(elf, "softdep=")?.iter().flat_map(pre).collect())
}

/// What is behind `key` in a module's .modinfo, each time.
fn modinfo(elf: &[u8], key: &str) -> Result<Vec<String>> {
    let file = object::File::parse(elf)?;
    let section = file.section_by_name(".modinfo").context("it has no .modinfo section")?;
    let entries = section.data()?.split(|b| *b == 0).filter_map(|entry| entry.strip_prefix(key.as_bytes()));
    Ok(entries.map(|entry| String::from_utf8_lossy(entry).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write;
    use std::path::Path;

    fn below(dir: &Path) -> Shipped {
        Shipped { place: dir.into(), by_name: modules::below(dir).expect("index") }
    }

    fn module(depends: &str) -> Vec<u8> {
        let mut o =
            write::Object::new(object::BinaryFormat::Elf, object::Architecture::X86_64, object::Endianness::Little);
        let id = o.add_section(Vec::new(), b".modinfo".to_vec(), object::SectionKind::ReadOnlyData);
        o.append_section_data(id, format!("license=GPL\0depends={depends}\0").as_bytes(), 1);
        o.write().expect("writes")
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let dir = tempfile::tempdir().expect("tempdir");
        let deep = dir.path().join("kernel/net");
        std::fs::create_dir_all(&deep).expect("dir");
        for (file, needs) in [("a-b.ko", "c,d"), ("c.ko", "d"), ("d.ko", "")] {
            std::fs::write(deep.join(file), module(needs)).expect("write");
        }
        let shipped = below(dir.path());
        let names: Vec<String> = shipped.with_dependencies("a-b").expect("found").into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["d", "c", "a_b"]);
        let message = shipped.with_dependencies("e").expect_err("missing").to_string();
        assert!(message.contains("no module `e`"), "{message}");
    }

    #[test]
    fn what_modprobe_would_load_before_comes_too() {
        let dir = tempfile::tempdir().expect("tempdir");
        for (file, needs) in
            [("fs.ko", "\0softdep=pre: crypto-crc32c gone post: late"), ("crc32c_generic.ko", ""), ("late.ko", "")]
        {
            std::fs::write(dir.path().join(file), module(needs)).expect("write");
        }
        let found = below(dir.path()).with_dependencies("fs").expect("found");
        assert_eq!(found.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["crc32c_generic", "fs"]);
    }

    #[test]
    fn a_circle_and_a_broken_file_are_told() {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::write(dir.path().join("a.ko"), module("b")).expect("write");
        std::fs::write(dir.path().join("b.ko"), module("a")).expect("write");
        std::fs::write(dir.path().join("x.ko.xz"), b"nonsense").expect("write");
        let shipped = below(dir.path());
        assert!(shipped.with_dependencies("a").expect_err("circle").to_string().contains("circle"));
        assert!(shipped.with_dependencies("x").expect_err("broken").to_string().contains("cannot decompress"));
    }
}
