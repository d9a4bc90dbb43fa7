// SPDX-License-Identifier: GPL-2.0-or-later
//! The name that the kernel knows a module by: a file in, its `name=` out. A folder may hold thousands of files, so that no
//! more of each is read than its header, its section table and .modinfo.

use super::preflight::LARGEST;
use super::{elf, Module};
use crate::{files, order};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of an ELF header and of a section header, of 64 bits (elf(5)).
const HEADER: usize = 64;
/// More bytes of section names or of .modinfo are read in the slow way.
const MANY: u64 = 1 << 20;

/// The module's own name; None where the file is no module, is damaged or cannot be read.
pub fn of_file(path: &Path) -> Option<String> {
    let file = files::open(path).ok()?;
    quickly(&file).or_else(|| Some(Module::parse(&files::whole(&file, LARGEST).ok()?).ok()?.name))
}

/// The same without reading all of it; None where that takes a closer look.
fn quickly(file: &File) -> Option<String> {
    let header = part(file, 0, HEADER as u64)?;
    // 64 bits, little-endian; section headers of the size that is known.
    let is_known = header.starts_with(b"\x7fELF\x02\x01") && number(&header, 58, 2)? == HEADER as u64;
    let (count, names) = (number(&header, 60, 2)?, number(&header, 62, 2)?);
    let table = part(file, number(&header, 40, 8)?, count * HEADER as u64).filter(|_| is_known)?;
    let sections: Vec<&[u8]> = table.chunks_exact(HEADER).collect();
    let data = |section: &[u8]| {
        let size = number(section, 32, 8).filter(|size| *size <= MANY)?;
        part(file, number(section, 24, 8)?, size)
    };
    let names = data(sections.get(usize::try_from(names).ok()?)?)?;
    let is_modinfo = |section: &&&[u8]| {
        let at = number(section, 0, 4).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| names.get(at..)).is_some_and(|name| name.starts_with(b".modinfo\0"))
    };
    let modinfo = elf::modinfo(&data(sections.iter().find(is_modinfo)?)?);
    let name = modinfo.into_iter().find(|(key, _)| key == "name")?.1;
    order::is_module_name(&name).then_some(name)
}

fn part(file: &File, at: u64, size: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

/// A little-endian number of `size` bytes, eight at most.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let mut value = [0; 8];
    value[..size].copy_from_slice(bytes.get(at..at + size)?);
    Some(u64::from_le_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{elf as file_of, Ko};
    use super::*;

    #[test]
    fn the_quick_way_says_what_the_whole_file_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("any.ko");
        let good = Ko::with_manifest("kpatch_a", "6.1.0", &["a fix"]).bytes();
        let old = file_of(
            62,
            vec![
                (".modinfo", 1, b"license=GPL\0".to_vec()),
                (".gnu.linkonce.this_module", 1, {
                    let mut module = vec![0; 24];
                    module.extend(b"kpatch_old\0");
                    module
                }),
            ],
        );
        for (bytes, quick, all) in [
            (good.clone(), Some("kpatch_a"), Some("kpatch_a")),
            (old, None, Some("kpatch_old")),
            (file_of(62, vec![(".text", 1, vec![0xc3])]), None, None),
            (Ko::new("no name", "6.1.0").bytes(), None, None),
            (Vec::new(), None, None),
            (b"\x7fELF\x02\x01".to_vec(), None, None),
        ] {
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(quickly(&File::open(&path).unwrap()).as_deref(), quick);
            assert_eq!(of_file(&path).as_deref(), all);
        }
        // Whatever byte is another or missing: no panic, no endless read.
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            std::fs::write(&path, &bad).unwrap();
            let read = of_file(&path);
            assert!(read.is_none_or(|name| order::is_module_name(&name)));
            std::fs::write(&path, &good[..at]).unwrap();
            assert_eq!(of_file(&path), None);
        }
        assert_eq!(of_file(&dir.path().join("nothing.ko")), None);
        assert_eq!(of_file(dir.path()), None);
    }
}
