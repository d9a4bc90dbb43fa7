// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a finished live patch fits a kernel: module, its report and a target in, [`Fit`] out.

use super::Report;
use crate::image::module::Module;
use crate::image::symvers::Symvers;
use crate::image::Image;
use crate::target::modules;
use crate::target::Target;
use crate::verify::{verify, Against};
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Whether a module fits a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// The target's name.
    pub target: String,
    /// True if nothing rules it out.
    pub fits: bool,
    /// What rules it out.
    pub reasons: Vec<String>,
    /// What could not be checked.
    pub unchecked: Vec<String>,
}

/// Checks a module against a target as the kernel's loader and livepatch would.
///
/// # Errors
/// A target that cannot be read.
pub fn fit(ko: &[u8], report: &Report, target: &Target) -> Result<Fit> {
    let mut reasons = Vec::new();
    let mut unchecked = Vec::new();
    if report.arch == target.arch {
        let image = Image::load(&target.vmlinux)?;
        let symvers = Symvers::load(&target.symvers)?;
        let mut modules = BTreeMap::new();
        for name in modules_named(report) {
            match modules::find(target, name) {
                Ok(_) => drop(modules.insert(name.to_string(), modules::load(target, name)?)),
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        let needs: BTreeSet<&str> = report.livepatch_sections.iter().map(|s| s.needs.as_str()).collect();
        let others: BTreeSet<&str> = report.livepatch_symbols.iter().map(|s| s.object.as_str()).collect();
        for needs in needs.into_iter().filter(|name| *name != "vmlinux") {
            for other in others.iter().filter(|name| **name != "vmlinux" && **name != needs) {
                modules::load_between(target, &mut modules, needs, other)?;
            }
        }
        let against = Against {
            release: &target.release,
            build_id: &target.build_id,
            image: &image,
            modules: &modules,
            symvers: &symvers,
        };
        reasons.extend(verify(ko, &against)?);
        reasons.extend(missing_functions(report, &image, &modules));
    } else {
        reasons.push(format!("it is for {}, the target is {}", report.arch, target.arch));
    }
    if report.manifest.is_none() {
        unchecked.push(
            "whether it was made from exactly this kernel: it does not say which build id it was made for".into(),
        );
    }
    if report.livepatch && report.objects.is_none() {
        unchecked.push("whether the functions that it replaces exist: their names are not known".into());
    }
    Ok(Fit { target: target.name.clone(), fits: reasons.is_empty(), reasons, unchecked })
}

fn modules_named(report: &Report) -> BTreeSet<&str> {
    let patched = report.objects.iter().flatten().map(|o| o.name.as_str());
    let needed = report.livepatch_sections.iter().map(|s| s.needs.as_str());
    let referred = report.livepatch_symbols.iter().map(|s| s.object.as_str());
    patched.chain(needed).chain(referred).filter(|&name| name != "vmlinux").collect()
}

fn missing_functions(report: &Report, image: &Image, modules: &BTreeMap<String, Module>) -> Vec<String> {
    let mut found = Vec::new();
    for object in report.objects.iter().flatten() {
        for function in &object.functions {
            let count = if object.name == "vmlinux" {
                image.kallsyms.named(&function.name).count()
            } else {
                // Said already where the module is missing.
                let Some(module) = modules.get(&object.name) else { continue };
                module.named(&function.name).count()
            };
            let name = format!("{} of {}", function.name, object.name);
            match (count, function.sympos) {
                (0, _) => found.push(format!("it replaces {name}, which does not exist")),
                (1, 0) => {}
                (n, 0) => found.push(format!("it replaces {name} by its name alone, there are {n} of it")),
                (n, pos) if pos > n as u64 => {
                    found.push(format!("it replaces number {pos} of the functions {name}, there are {n}"))
                }
                _ => {}
            }
        }
    }
    found
}
