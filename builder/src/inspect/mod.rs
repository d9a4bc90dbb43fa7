// SPDX-License-Identifier: GPL-2.0-or-later
//! What a finished module says of itself: bytes of a .ko in, [`Report`] out. kmend's own live patches carry
//! their manifest; of others, what can be read from them; what cannot be read is named.

pub mod fit;
pub mod signature;

use crate::elf::modinfo::modinfo;
use crate::elf::read::{read, Take};
use crate::elf::{note, Object, Place, SHF_RELA_LIVEPATCH};
use crate::files;
use crate::klp::{functions, Function, KlpName, Maker, Patched};
use crate::manifest::Manifest;
use anyhow::Result;
use fit::Fit;
use serde::Serialize;
use signature::Signature;
use std::collections::BTreeMap;

/// Everything reported about one module. docs/inspect.md has the fields.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Module name, from .modinfo.
    pub name: Option<String>,
    /// Size of the file, bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// `uname -m` of the kernel that it is for.
    pub arch: &'static str,
    /// The module's own GNU build id, hexadecimal.
    pub build_id: Option<String>,
    /// .modinfo says livepatch=Y: the kernel takes it as a live patch.
    pub livepatch: bool,
    /// .modinfo: values by name, in file order.
    pub modinfo: BTreeMap<String, Vec<String>>,
    /// What made it, where that shows.
    pub made_by: Option<Maker>,
    /// It replaces all older live patches; None if unknown.
    pub replace: Option<bool>,
    /// The functions that it replaces, by klp object; None if unknown.
    pub objects: Option<Vec<Patched>>,
    /// Sections of livepatch relocations.
    pub livepatch_sections: Vec<KlpSection>,
    /// Symbols that livepatch resolves.
    pub livepatch_symbols: Vec<KlpSymbol>,
    /// Symbols that the module loader resolves: exports of the kernel and of modules.
    pub symbols_used: Vec<String>,
    /// The signature behind the module.
    pub signature: Option<Signature>,
    /// The manifest inside of it.
    pub manifest: Option<Manifest>,
    /// What is unknown, and what in the module contradicts itself.
    pub remarks: Vec<String>,
    /// Whether it fits a kernel, where one was given.
    pub fit: Option<Fit>,
}

/// One section of livepatch relocations, `.klp.rela.<object>.<section>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KlpSection {
    /// The klp object whose arrival they wait for.
    pub needs: String,
    /// The section that they apply to.
    pub applies_to: String,
    /// How many they are.
    pub relocations: usize,
}

/// One livepatch symbol, `.klp.sym.<object>.<name>,<sympos>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct KlpSymbol {
    /// The klp object that has it.
    pub object: String,
    /// Its name there.
    pub name: String,
    /// Its position among its namesakes; 0 where it is unique.
    pub sympos: u64,
    /// How many livepatch relocations refer to it.
    pub relocations: usize,
}

/// Tells what a module holds.
///
/// # Errors
/// Bytes that are no module of a known architecture, or a malformed one.
pub fn inspect(ko: &[u8]) -> Result<Report> {
    let object = read(ko, Take::NoDebug)?;
    let mut remarks = Vec::new();
    let mut info: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in modinfo(&object) {
        info.entry(name).or_default().push(value);
    }
    let signature = signature::of_module(ko).unwrap_or_else(|error| {
        remarks.push(format!("the signature behind the module is malformed: {error:#}"));
        None
    });
    let manifest = Manifest::of_module(&object).unwrap_or_else(|error| {
        remarks.push(format!("its manifest cannot be read: {error:#}"));
        None
    });
    let livepatch = info.get("livepatch").is_some_and(|v| v.iter().any(|v| v == "Y"));
    let (made_by, objects) = match &manifest {
        Some(manifest) => (Some(Maker::Kmend), Some(of_manifest(manifest))),
        None => functions::find(&object, &mut remarks),
    };
    if livepatch && objects.is_none() {
        remarks.push(
            "it is not known which functions it replaces: it has no manifest of kmend, and no table of functions in \
             a known form (kpatch-build, klp-build, C arrays of klp_func)"
                .into(),
        );
    }
    let mut report = Report {
        name: info.get("name").and_then(|v| v.first().cloned()),
        size: ko.len() as u64,
        sha256: files::sha256(ko),
        arch: object.arch.name(),
        build_id: note::build_id(&object),
        livepatch,
        modinfo: info,
        made_by,
        replace: manifest.as_ref().map(|m| m.replace),
        objects,
        livepatch_sections: klp_sections(&object),
        livepatch_symbols: klp_symbols(&object, &mut remarks),
        symbols_used: symbols_used(&object),
        signature,
        manifest,
        remarks,
        fit: None,
    };
    if livepatch && report.replace.is_none() {
        report.remarks.push("the module does not show whether it replaces older live patches".into());
    }
    let disagreements = disagreements(&report);
    report.remarks.extend(disagreements);
    Ok(report)
}

impl Report {
    /// `uname -r` of the kernel that it is for, from its vermagic.
    pub fn release(&self) -> Option<&str> {
        self.modinfo.get("vermagic")?.first()?.split(' ').next()
    }
}

fn of_manifest(manifest: &Manifest) -> Vec<Patched> {
    let mut objects: BTreeMap<&str, Vec<Function>> = BTreeMap::new();
    for unit in &manifest.units {
        for f in &unit.functions {
            if let Some(sympos) = f.sympos {
                objects.entry(&unit.object).or_default().push(Function { name: f.name.clone(), sympos });
            }
        }
    }
    objects.into_iter().map(|(name, functions)| Patched { name: name.into(), functions }).collect()
}

fn klp_sections(object: &Object) -> Vec<KlpSection> {
    let klp = object.sections.iter().filter(|s| s.flags & SHF_RELA_LIVEPATCH != 0);
    klp.map(|s| {
        let applies_to = object.sections.get(s.info as usize).map_or("", |t| t.name.as_str());
        let plain = s.name.strip_prefix(".klp.rela.").unwrap_or(&s.name);
        let needs = plain.strip_suffix(applies_to).and_then(|n| n.strip_suffix('.')).unwrap_or(plain);
        KlpSection { needs: needs.into(), applies_to: applies_to.into(), relocations: s.relocs.len() }
    })
    .collect()
}

fn klp_symbols(object: &Object, remarks: &mut Vec<String>) -> Vec<KlpSymbol> {
    let mut uses = vec![0usize; object.symbols.len()];
    for r in object.sections.iter().filter(|s| s.flags & SHF_RELA_LIVEPATCH != 0).flat_map(|s| &s.relocs) {
        uses[r.symbol] += 1;
    }
    let mut found = Vec::new();
    for (symbol, relocations) in object.symbols.iter().zip(uses).filter(|(s, _)| s.place == Place::Livepatch) {
        match KlpName::parse(&symbol.name) {
            Some(KlpName { object, name, sympos }) => found.push(KlpSymbol { object, name, sympos, relocations }),
            None => remarks.push(format!("livepatch symbol {:?} is not .klp.sym.OBJECT.NAME,SYMPOS", symbol.name)),
        }
    }
    found.sort();
    found
}

fn symbols_used(object: &Object) -> Vec<String> {
    let undefined = object.symbols.iter().skip(1).filter(|s| s.is_undefined() && !s.name.is_empty());
    let undefined = undefined.filter(|s| !object.arch.is_linker_symbol(&s.name));
    let mut names: Vec<String> = undefined.map(|s| s.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Where the manifest and the module around it do not say the same.
fn disagreements(report: &Report) -> Vec<String> {
    let Some(manifest) = &report.manifest else { return Vec::new() };
    let mut found = Vec::new();
    let mut differ = |what: &str, inside: &str, module: &str| {
        if inside != module {
            found.push(format!("its manifest does not belong to it: {what} is {inside} there, {module} in the module"));
        }
    };
    differ("the name", &manifest.name, report.name.as_deref().unwrap_or("?"));
    differ("the release", &manifest.target.release, report.release().unwrap_or("?"));
    differ("the architecture", &manifest.target.arch, report.arch);
    let relocations: usize = report.livepatch_sections.iter().map(|s| s.relocations).sum();
    let count = "the number of livepatch relocations";
    differ(count, &manifest.livepatch_relocations.to_string(), &relocations.to_string());
    found
}

#[cfg(test)]
mod tests;
