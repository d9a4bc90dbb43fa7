// SPDX-License-Identifier: GPL-2.0-or-later
//! The modules that a target ships: a name in, the module and what it depends on out, in loading order.

use anyhow::{bail, Context, Result};
use kmend_builder::files;
use object::{Object, ObjectSection};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The modules below a `lib/modules/<release>` folder, by name.
#[derive(Debug)]
pub struct Shipped {
    folder: PathBuf,
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
    /// Finds the modules below `folder`.
    pub fn index(folder: &Path) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        let mut open = vec![folder.to_path_buf()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
                let entry = entry.with_context(|| format!("cannot list {}", dir.display()))?;
                let path = entry.path();
                // Links such as `build` and `source` lead out of the folder.
                let kind = entry.file_type().with_context(|| format!("cannot look at {}", path.display()))?;
                if kind.is_dir() {
                    open.push(path);
                } else if let Some((stem, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
                    by_name.insert(kernel_name(stem), path);
                }
            }
        }
        Ok(Self { folder: folder.into(), by_name })
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
            bail!("the target ships no module `{name}` below {}", self.folder.display());
        };
        let elf = decompress(path)?;
        let needs = depends(&elf).with_context(|| format!("{}: not a kernel module", path.display()))?;
        under_way.push(name.clone());
        for needed in needs {
            self.add(&needed, under_way, order)?;
        }
        under_way.pop();
        order.push(Module { name, elf });
        Ok(())
    }
}

fn decompress(path: &Path) -> Result<Vec<u8>> {
    let data = files::read(path)?;
    let mut elf = Vec::new();
    let read = match path.extension().and_then(|e| e.to_str()) {
        Some("ko") => return Ok(data),
        Some("xz") => liblzma::read::XzDecoder::new(data.as_slice()).read_to_end(&mut elf),
        Some("zst") => zstd::stream::read::Decoder::new(data.as_slice()).and_then(|mut d| d.read_to_end(&mut elf)),
        _ => bail!("{}: compressed in a way that is not known here (known: none, xz, zst)", path.display()),
    };
    read.with_context(|| format!("{}: broken compressed data", path.display()))?;
    Ok(elf)
}

/// The names behind `depends=` in a module's .modinfo.
fn depends(elf: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(elf)?;
    let section = file.section_by_name(".modinfo").context("it has no .modinfo section")?;
    let data = section.data()?;
    let words = data.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(b"depends="));
    let words = String::from_utf8_lossy(words.unwrap_or_default()).into_owned();
    Ok(words.split(',').filter(|w| !w.is_empty()).map(kernel_name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write;

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
        let shipped = Shipped::index(dir.path()).expect("index");
        let names: Vec<String> = shipped.with_dependencies("a-b").expect("found").into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["d", "c", "a_b"]);
        let message = shipped.with_dependencies("e").expect_err("missing").to_string();
        assert!(message.contains("no module `e`"), "{message}");
    }

    #[test]
    fn a_circle_and_a_broken_file_are_told() {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::write(dir.path().join("a.ko"), module("b")).expect("write");
        std::fs::write(dir.path().join("b.ko"), module("a")).expect("write");
        std::fs::write(dir.path().join("x.ko.xz"), b"nonsense").expect("write");
        let shipped = Shipped::index(dir.path()).expect("index");
        assert!(shipped.with_dependencies("a").expect_err("circle").to_string().contains("circle"));
        assert!(shipped.with_dependencies("x").expect_err("broken").to_string().contains("broken compressed data"));
    }
}
