// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage verify: reads a finished live patch as the kernel's loader will, and reports what it would refuse.

mod loader;
mod registered;

use crate::arch::Field;
use crate::elf::modinfo::modinfo;
use crate::elf::read::{read, Take};
use crate::elf::*;
use crate::image::module::Module;
use crate::image::symvers::Symvers;
use crate::image::Image;
use crate::klp::{is_object_name, KlpName};
use crate::manifest::Manifest;
use crate::section_table::row_of;
use crate::target::modules;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// Which kernel a live patch is checked against.
pub struct Against<'a> {
    /// `uname -r`.
    pub release: &'a str,
    /// Its GNU build id, hexadecimal.
    pub build_id: &'a str,
    /// The shipped image.
    pub image: &'a Image,
    /// Shipped modules, as far as they were needed.
    pub modules: &'a BTreeMap<String, Module>,
    /// Exports.
    pub symvers: &'a Symvers,
}

/// Everything that is wrong with a finished module; empty when the kernel will take it.
///
/// # Errors
/// Bytes that are no module at all.
pub fn verify(ko: &[u8], against: &Against<'_>) -> Result<Vec<String>> {
    let object = read(ko, Take::NoDebug).context("the finished module")?;
    let mut faults = Vec::new();
    let info = modinfo(&object);
    let get = |key: &str| info.iter().find(|(n, _)| n == key).map(|(_, v)| v.as_str());
    if object.sections.iter().filter(|s| s.name == ".modinfo").count() != 1 {
        faults.push("it must have exactly one .modinfo section".to_string());
    }
    if get("livepatch") != Some("Y") {
        faults.push(".modinfo does not say livepatch=Y".into());
    }
    faults.extend(loader::faults(&object, &info, against));
    faults.extend(pinned(&object, against));
    for s in &object.sections {
        let klp = s.name.starts_with(".klp.rela.");
        if klp != (s.flags & SHF_RELA_LIVEPATCH != 0) {
            faults.push(format!("section {}: its name and SHF_RELA_LIVEPATCH do not match", s.name));
        }
        if !klp {
            let early = s.relocs.iter().find(|r| object.symbols[r.symbol].place == Place::Livepatch);
            faults.extend(early.map(|r| {
                let name = &object.symbols[r.symbol].name;
                format!(
                    "section {}: the relocation at {:#x} refers to {name} before livepatch finds it",
                    s.name, r.offset
                )
            }));
            continue;
        }
        let target = object.sections.get(s.info as usize);
        let Some(target) = target else {
            faults.push(format!("section {}: it applies to section {}, which does not exist", s.name, s.info));
            continue;
        };
        let Some(needs) = waits_for(&object, s) else {
            faults.push(format!("section {}: its name does not end in that of its target {}", s.name, target.name));
            continue;
        };
        if !is_object_name(needs) {
            faults.push(format!("section {}: {needs:?} is not the name of a klp object", s.name));
        }
        // These are read before relocations that wait for a module are applied.
        if needs != "vmlinux" && row_of(&target.name).is_some_and(|row| row.early.is_some()) {
            faults.push(format!("section {}: {} cannot wait for a module", s.name, target.name));
        }
        for r in &s.relocs {
            check_relocation(&object, s, target, needs, r, against, &mut faults);
        }
    }
    for symbol in object.symbols.iter().skip(1) {
        match symbol.place {
            Place::Livepatch => match KlpName::parse(&symbol.name) {
                None => faults.push(format!("livepatch symbol {:?} is not .klp.sym.OBJECT.NAME,SYMPOS", symbol.name)),
                Some(klp) => faults.extend(unknown(&klp, against)),
            },
            _ if symbol.name.starts_with(".klp.") => {
                faults.push(format!("symbol {} is no livepatch symbol", symbol.name))
            }
            _ => {}
        }
    }
    faults.extend(object.arch.module_faults(&object));
    Ok(faults)
}

/// The klp object that a section of livepatch relocations waits for: `.klp.rela.OBJECT.` and the name of its target.
fn waits_for<'s>(object: &Object, section: &'s Section) -> Option<&'s str> {
    let target = object.sections.get(section.info as usize)?;
    section.name.strip_prefix(".klp.rela.")?.strip_suffix(&target.name)?.strip_suffix('.')
}

/// The kernel that the module's manifest names must be this very one: a release says little, the build id all.
fn pinned(object: &Object, against: &Against<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    match against.image.build_id() {
        Ok(id) if id == against.build_id => {}
        Ok(id) => {
            faults.push(format!("the target's record has the build id {}, its kernel image {id}", against.build_id))
        }
        Err(error) => faults.push(format!("the build id of the kernel image cannot be read: {error:#}")),
    }
    match Manifest::of_module(object) {
        Ok(Some(manifest)) if manifest.target.build_id != against.build_id => faults.push(format!(
            "it was proven against the kernel with build id {}, this one has {}",
            manifest.target.build_id, against.build_id
        )),
        Ok(Some(manifest)) => faults.extend(registered::faults(object, &manifest, against)),
        // Whoever made it otherwise gets no such word from it.
        Ok(None) => {}
        Err(error) => faults.push(format!("its manifest cannot be read: {error:#}")),
    }
    faults
}

#[allow(clippy::too_many_arguments)]
fn check_relocation(
    object: &Object,
    section: &Section,
    target: &Section,
    needs: &str,
    r: &Reloc,
    against: &Against<'_>,
    faults: &mut Vec<String>,
) {
    let at = format!("section {}: relocation at {:#x}", section.name, r.offset);
    let symbol = &object.symbols[r.symbol];
    if symbol.place != Place::Livepatch {
        faults.push(format!("{at}: symbol {} is no livepatch symbol", symbol.name));
    }
    // Generic loader rule (kernel/livepatch/core.c, klp_resolve_symbols): a section that waits for a module
    // must not refer to vmlinux, and the other way round.
    if let Some(klp) = KlpName::parse(&symbol.name) {
        if (klp.object == "vmlinux") != (needs == "vmlinux") {
            faults.push(format!("{at}: a relocation for {needs} refers to {}", symbol.name));
        } else if klp.object != needs && !modules::depends_on(against.modules, needs, &klp.object) {
            faults.push(format!(
                "{at}: a relocation for {needs} refers to {}, and {needs} can be loaded without {}",
                symbol.name, klp.object
            ));
        }
    }
    match object.arch.field(r.kind) {
        Some(field) if field != Field::None => {
            // x86's __apply_relocate_add refuses a target that is not zero.
            let there = target.bytes(r.offset..r.offset + field.bytes() as u64);
            if there.len() != field.bytes() {
                faults.push(format!("{at}: it reaches beyond section {}", target.name));
            }
            if !field.is_blank(there) {
                faults.push(format!("{at}: the bytes there are not zero"));
            }
        }
        _ => faults.push(format!("{at}: type {} is not known", object.arch.reloc_name(r.kind))),
    }
}

fn unknown(klp: &KlpName, against: &Against<'_>) -> Option<String> {
    let count = if klp.object == "vmlinux" {
        against.image.kallsyms.named(&klp.name).count()
    } else {
        match against.modules.get(&klp.object) {
            Some(module) => module.named(&klp.name).count(),
            None => {
                let KlpName { object, name, .. } = klp;
                return Some(format!("livepatch symbol {name} of {object}: the kernel has no such module"));
            }
        }
    };
    let ok = if klp.sympos == 0 { count == 1 } else { klp.sympos <= count as u64 };
    (!ok).then(|| {
        format!("livepatch symbol {},{} of {}: there are {count} of this name", klp.name, klp.sympos, klp.object)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let klp = KlpName::parse(".klp.sym.vmlinux.foo.isra.0,2").unwrap();
        assert_eq!((klp.object.as_str(), klp.name.as_str(), klp.sympos), ("vmlinux", "foo.isra.0", 2));
        assert_eq!(KlpName::parse(".klp.sym.vmlinux.foo,1,2"), None);
        assert_eq!(KlpName::parse(".klp.sym.vmlinux.foo,+1"), None);
        assert_eq!(KlpName::parse(&format!(".klp.sym.vmlinux.{},1", "x".repeat(512))), None);
        assert_eq!(KlpName::parse(&format!(".klp.sym.{}.foo,1", "x".repeat(56))), None);
        assert_eq!(KlpName::parse(".klp.sym.vmlinux.foo"), None);
        assert_eq!(KlpName::parse(".klp.sym..foo,1"), None);
        assert_eq!(KlpName::parse("foo"), None);
    }
}
