// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage verify: reads a finished live patch as the kernel's loader will, and says what it would refuse.

use crate::arch::Field;
use crate::elf::read::{read, Take};
use crate::elf::*;
use crate::image::symvers::Symvers;
use crate::image::Image;
use crate::prove::module::Module;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// What a livepatch symbol's name says: `.klp.sym.<object>.<name>,<sympos>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KlpName {
    /// `vmlinux` or a module's name.
    pub object: String,
    /// The symbol there.
    pub name: String,
    /// Its position among its namesakes.
    pub sympos: u64,
}

impl KlpName {
    /// Parses the name; None where it is not well formed.
    pub fn parse(text: &str) -> Option<Self> {
        let (object, rest) = text.strip_prefix(".klp.sym.")?.split_once('.')?;
        let (name, sympos) = rest.rsplit_once(',')?;
        let ok = !object.is_empty() && object.len() < 56 && !name.is_empty();
        ok.then_some(Self { object: object.into(), name: name.into(), sympos: sympos.parse().ok()? })
    }
}

/// `NAME=value` pairs of .modinfo.
pub fn modinfo(object: &Object) -> Vec<(String, String)> {
    let sections = object.sections.iter().filter(|s| s.name == ".modinfo");
    sections
        .flat_map(|s| s.data.split(|&b| b == 0))
        .filter_map(|part| {
            let text = String::from_utf8_lossy(part);
            text.split_once('=').map(|(n, v)| (n.to_string(), v.to_string()))
        })
        .collect()
}

/// Which kernel a live patch is checked against.
pub struct Against<'a> {
    /// `uname -r`.
    pub release: &'a str,
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
        faults.push("it has not exactly one .modinfo section".to_string());
    }
    if get("livepatch") != Some("Y") {
        faults.push(".modinfo does not say livepatch=Y".into());
    }
    match get("vermagic") {
        Some(magic) if magic.split(' ').next() == Some(against.release) => {}
        other => faults.push(format!("vermagic is {other:?}, the kernel's release is {}", against.release)),
    }
    for s in &object.sections {
        let klp = s.name.starts_with(".klp.rela.");
        if klp != (s.flags & SHF_RELA_LIVEPATCH != 0) {
            faults.push(format!("section {}: name and SHF_RELA_LIVEPATCH do not go together", s.name));
        }
        if !klp {
            continue;
        }
        let target = object.sections.get(s.info as usize);
        let Some(target) = target else {
            faults.push(format!("section {}: it applies to section {}, which does not exist", s.name, s.info));
            continue;
        };
        let Some(needs) = s
            .name
            .strip_prefix(".klp.rela.")
            .and_then(|n| n.strip_suffix(&target.name))
            .and_then(|n| n.strip_suffix('.'))
        else {
            faults.push(format!("section {}: its name does not end in that of its target {}", s.name, target.name));
            continue;
        };
        // These are read before relocations that wait for a module are applied.
        if needs != "vmlinux"
            && matches!(target.name.as_str(), "__jump_table" | ".static_call_sites" | ".altinstructions")
        {
            faults.push(format!("section {}: {} cannot wait for a module", s.name, target.name));
        }
        for r in &s.relocs {
            check_relocation(&object, s, target, needs, r, &mut faults);
        }
    }
    for symbol in object.symbols.iter().skip(1) {
        match symbol.place {
            Place::Livepatch => match KlpName::parse(&symbol.name) {
                None => faults.push(format!("livepatch symbol {:?} is not .klp.sym.OBJECT.NAME,SYMPOS", symbol.name)),
                Some(klp) => faults.extend(unknown(&klp, against)),
            },
            Place::Undefined if object.arch.is_linker_symbol(&symbol.name) => {}
            Place::Undefined if symbol.bind != Bind::Weak && against.symvers.get(&symbol.name).is_none() => {
                faults.push(format!("symbol {} is undefined and the kernel does not export it", symbol.name));
            }
            _ if symbol.name.starts_with(".klp.") => {
                faults.push(format!("symbol {} is no livepatch symbol", symbol.name))
            }
            _ => {}
        }
    }
    faults.extend(object.arch.module_faults(&object));
    Ok(faults)
}

fn check_relocation(
    object: &Object,
    section: &Section,
    target: &Section,
    needs: &str,
    r: &Reloc,
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
        against.modules.get(&klp.object)?.named(&klp.name).count()
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
        assert_eq!(KlpName::parse(".klp.sym.vmlinux.foo"), None);
        assert_eq!(KlpName::parse(".klp.sym..foo,1"), None);
        assert_eq!(KlpName::parse("foo"), None);
    }
}
