// SPDX-License-Identifier: GPL-2.0-or-later
//! What a module and a program say about themselves: that a live patch is packaged for the kernel and under the name
//! that it was built for, and what a program needs to start.

use crate::names::Names;
use crate::version::Version;
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::arch::ArchNames as Arch;
use object::read::elf::{ElfFile64, FileHeader};
use object::{Architecture, Endianness, Object, ObjectSection};
use std::collections::BTreeSet;
use std::path::Path;

/// Refuses a module that is not of this architecture, kernel and name (its .modinfo has `vermagic` and `name`).
pub(crate) fn check(path: &Path, bytes: &[u8], names: &Names, version: Version) -> Result<()> {
    let shown = path.display();
    let file = parse(path, bytes)?;
    let arch = arch_of(&file).with_context(|| format!("{shown}"))?;
    ensure!(arch == names.arch(), "{shown} is of {}, the package of {}", arch.uname, names.arch().uname);
    let info = file
        .section_by_name(".modinfo")
        .and_then(|s| s.data().ok())
        .with_context(|| format!("{shown} is not a kernel module: it has no section .modinfo"))?;
    let field = |key: &str| {
        info.split(|b| *b == 0)
            .filter_map(|line| std::str::from_utf8(line).ok())
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .with_context(|| format!("{shown} is not a kernel module that can be packaged: .modinfo has no {key}"))
    };
    let kernel = field("vermagic")?.split(' ').next().unwrap_or_default();
    ensure!(kernel == names.release(), "{shown} is built for kernel {kernel}, the package is for {}", names.release());
    let module = names.module(version.version, version.release)?;
    let name = field("name")?;
    ensure!(name == module, "{shown} is the module {name}; in the package of {version} it has to be {module}");
    Ok(())
}

/// The shared libraries of a program, and the versions of their symbols: (libc.so.6, GLIBC_2.34).
pub(crate) struct Needs {
    /// The program's architecture.
    pub arch: Arch,
    /// DT_NEEDED.
    pub libraries: BTreeSet<String>,
    /// .gnu.version_r.
    pub versions: BTreeSet<(String, String)>,
}

/// What the dynamic linker will look for when the program `path` starts. A static one needs nothing.
pub(crate) fn needs(path: &Path, bytes: &[u8]) -> Result<Needs> {
    let file = parse(path, bytes)?;
    let arch = arch_of(&file).with_context(|| format!("{}", path.display()))?;
    read_needs(&file, arch).with_context(|| format!("the libraries of {}", path.display()))
}

fn read_needs(file: &ElfFile64<'_, Endianness>, arch: Arch) -> Result<Needs> {
    let endian = file.endian();
    let sections = file.elf_section_table();
    let mut needs = Needs { arch, libraries: BTreeSet::new(), versions: BTreeSet::new() };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).context("a name that is not text");
    if let Some((entries, link)) = sections.dynamic(endian, file.data())? {
        let strings = sections.strings(endian, file.data(), link)?;
        for entry in entries {
            use object::read::elf::Dyn;
            if entry.d_tag(endian) == u64::from(object::elf::DT_NEEDED) {
                needs.libraries.insert(text(entry.string(endian, strings)?)?);
            }
        }
    }
    if let Some((mut verneed, link)) = sections.gnu_verneed(endian, file.data())? {
        let strings = sections.strings(endian, file.data(), link)?;
        while let Some((need, mut aux)) = verneed.next()? {
            let library = text(need.file(endian, strings)?)?;
            while let Some(version) = aux.next()? {
                needs.versions.insert((library.clone(), text(version.name(endian, strings)?)?));
            }
        }
    }
    Ok(needs)
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<ElfFile64<'a, Endianness>> {
    let file =
        ElfFile64::<Endianness>::parse(bytes).with_context(|| format!("{} is no 64-bit ELF file", path.display()))?;
    ensure!(
        file.elf_header().endian().is_ok_and(|e| e == Endianness::Little),
        "{} is big endian: no architecture that live patches are packaged for",
        path.display()
    );
    Ok(file)
}

fn arch_of(file: &ElfFile64<'_, Endianness>) -> Result<Arch> {
    Ok(match file.architecture() {
        Architecture::X86_64 => Arch::X86_64,
        Architecture::PowerPc64 => Arch::PPC64LE,
        other => bail!("{other:?} is no architecture that live patches are packaged for"),
    })
}
