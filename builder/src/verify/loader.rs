// SPDX-License-Identifier: GPL-2.0-or-later
//! What the module loader wants of any module: a finished module and the kernel in, faults out: vermagic, exports with their
//! licence, namespace and checksum, the modules that it depends on.

use super::Against;
use crate::elf::{Bind, Object, Place, Symbol};
use crate::image::symvers::Export;
use crate::section_table::MODVERSION_INFO;
use std::collections::{BTreeMap, BTreeSet};

/// Licences with which a module may use EXPORT_SYMBOL_GPL (include/linux/license.h).
const GPL: &[&str] = &["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];

/// Everything that the loader would refuse or that would make it load other modules; `info` is .modinfo.
pub(super) fn faults(object: &Object, info: &[(String, String)], against: &Against<'_>) -> Vec<String> {
    let mut faults: Vec<String> = vermagic(info, against).into_iter().collect();
    let values = |key: &str| info.iter().filter(|(n, _)| n == key).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
    let licences = values("license");
    if licences.len() != 1 || !GPL.contains(&licences[0]) {
        faults.push(format!(".modinfo has the licence {licences:?}; livepatch requires a GPL licence"));
    }
    let spaces: BTreeSet<&str> = values("import_ns").into_iter().collect();
    let mut exporters = BTreeSet::new();
    for symbol in undefined(object) {
        let Some(export) = against.symvers.get(&symbol.name) else {
            if symbol.bind != Bind::Weak {
                faults.push(format!("symbol {} is undefined and the kernel does not export it", symbol.name));
            }
            continue;
        };
        if !is_imported(export, &spaces, values("name").first().copied()) {
            let space = &export.namespace;
            faults.push(format!(
                "symbol {} is exported in namespace {space}, and .modinfo has no import_ns={space}",
                symbol.name
            ));
        }
        exporters.extend(export.module.as_deref());
    }
    faults.extend(checksums(object, against));
    let depends: BTreeSet<&str> =
        values("depends").iter().flat_map(|d| d.split(',')).filter(|d| !d.is_empty()).collect();
    for missing in exporters.difference(&depends) {
        faults.push(format!("it uses exports of the module {missing}, and depends= in .modinfo does not name it"));
    }
    for other in depends.difference(&exporters) {
        faults.push(format!("depends= in .modinfo names the module {other}, but it uses no export of it"));
    }
    faults
}

/// The symbols that the module loader has to find.
fn undefined(object: &Object) -> impl Iterator<Item = &Symbol> {
    let all = object.symbols.iter().skip(1);
    all.filter(|s| s.place == Place::Undefined && !s.name.is_empty() && !object.arch.is_linker_symbol(&s.name))
}

/// kernel/module/main.c, verify_namespace_is_imported; `module:A,B` are for the modules that are named.
fn is_imported(export: &Export, spaces: &BTreeSet<&str>, name: Option<&str>) -> bool {
    if let Some(list) = export.namespace.strip_prefix("module:") {
        return list.split(',').any(|m| Some(m.replace('-', "_")) == name.map(|n| n.replace('-', "_")));
    }
    export.namespace.is_empty() || spaces.contains(export.namespace.as_str())
}

/// The kernel compares the whole of it (kernel/module/version.c, same_magic); all of it is in the image.
fn vermagic(info: &[(String, String)], against: &Against<'_>) -> Option<String> {
    let all: Vec<&str> = info.iter().filter(|(n, _)| n == "vermagic").map(|(_, v)| v.as_str()).collect();
    let [magic] = all[..] else { return Some(format!(".modinfo has {} vermagics", all.len())) };
    let kernels = against.image.vermagic(against.release);
    let same = match &kernels {
        Some(kernels) => kernels == magic,
        None => magic.split(' ').next() == Some(against.release),
    };
    (!same)
        .then(|| format!("vermagic is {magic:?}, the kernel's is {:?}", kernels.as_deref().unwrap_or(against.release)))
}

/// Checksums of what the module uses, where the kernel compares them.
fn checksums(object: &Object, against: &Against<'_>) -> Vec<String> {
    let versions = against.image.vermagic(against.release).is_some_and(|m| m.split(' ').any(|w| w == "modversions"));
    if !versions {
        return Vec::new();
    }
    let known = match read_checksums(object, against.image.layouts.size_of(&MODVERSION_INFO)) {
        Ok(known) => known,
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    // The loader looks at this one first (check_modstruct_version).
    let names = undefined(object).map(|s| s.name.as_str()).chain(["module_layout"]);
    for (name, export) in names.filter_map(|n| Some((n, against.symvers.get(n)?))) {
        match known.get(name) {
            Some(crc) if *crc == export.crc => {}
            Some(crc) => faults.push(format!(
                "symbol {name} has the checksum {crc:#010x} in the module, {:#010x} in the kernel",
                export.crc
            )),
            None => faults.push(format!("symbol {name} has no checksum in the module, and the kernel compares them")),
        }
    }
    faults
}

/// `__versions` (struct modversion_info), or its form for long names since 6.14.
fn read_checksums(object: &Object, entry: Option<u64>) -> Result<BTreeMap<String, u32>, String> {
    let data = |name: &str| object.section_by_name(name).map(|id| object.sections[id].data.as_slice());
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|&b| b == 0).next().unwrap_or_default()).into_owned();
    let mut known = BTreeMap::new();
    if let (Some(crcs), Some(names)) = (data("__version_ext_crcs"), data("__version_ext_names")) {
        let names = names.split(|&b| b == 0).filter(|n| !n.is_empty());
        known.extend(names.map(text).zip(crcs.chunks(4).map(word)));
    }
    let Some(table) = data("__versions") else {
        return if known.is_empty() {
            Err("it has no section __versions, and the kernel compares checksums".into())
        } else {
            Ok(known)
        };
    };
    let Some(entry) = entry.and_then(|e| usize::try_from(e).ok()).filter(|&e| e > 8) else {
        return Err("the checksums in __versions cannot be read: the kernel's BTF has no struct modversion_info".into());
    };
    if table.len() % entry != 0 {
        return Err(format!("section __versions has {} bytes, which are not whole entries of {entry}", table.len()));
    }
    known.extend(table.chunks(entry).map(|e| (text(&e[8..]), word(e))));
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces() {
        let export = |space: &str| Export { module: None, namespace: space.into(), crc: 0 };
        let spaces = BTreeSet::from(["A"]);
        assert!(is_imported(&export(""), &spaces, None));
        assert!(is_imported(&export("A"), &spaces, None));
        assert!(!is_imported(&export("B"), &spaces, None));
        assert!(!is_imported(&export("module:kvm-intel,kvm_amd"), &spaces, Some("lp")));
        assert!(is_imported(&export("module:kvm-intel,kvm_amd"), &spaces, Some("kvm_intel")));
    }
}
