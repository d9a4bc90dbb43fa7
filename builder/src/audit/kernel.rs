// SPDX-License-Identifier: GPL-2.0-or-later
//! A finished live patch and the kernel that it is for: the file, what is proven of the originals, the shipped image and
//! modules in; what is shown, or refusals, out.

use super::{audit, not_shown, Place, Root, Shown, Unit, World};
use crate::elf::read::{read, Take};
use crate::elf::{self, Object, Symbol};
use crate::error::Refused;
use crate::image::indirect::IndirectCalls;
use crate::image::module::Module;
use crate::image::shipped::{Shipped, Spot};
use crate::image::symvers::Symvers;
use crate::image::Image;
use crate::klp::functions::{klp_lists, Tables};
use crate::klp::{Function, KlpName};
use crate::prove::Proof;
use crate::special::storage::Storage;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The running kernel, as it was shipped, and what is proven of it.
pub struct Kernel<'a> {
    /// The units, in order: as they are read, and what is proven of their originals.
    pub units: Vec<(&'a Unit<'a>, &'a Proof)>,
    /// The image.
    pub image: &'a Image,
    /// Modules that are patched or whose exports are used.
    pub modules: &'a BTreeMap<String, Module>,
    /// Exports.
    pub symvers: &'a Symvers,
    /// What indirect calls may enter.
    pub indirect: IndirectCalls<'a>,
    /// Functions without a proof that the author let through.
    pub allowed: BTreeSet<&'a str>,
}

/// The module that a name is of; None for vmlinux.
fn object_of(name: &str) -> Option<&str> {
    (name != "vmlinux").then_some(name)
}

/// Names of a static call's key and trampoline (include/linux/static_call_types.h).
const KEY: &str = "__SCK__";
const TRAMPOLINE: &str = "__SCT__";

fn vmlinux(at: u64) -> Place {
    Place::At(None, Spot { space: 0, at })
}

impl Kernel<'_> {
    fn module(&self, name: &str) -> Result<&Module, String> {
        self.modules.get(name).ok_or_else(|| format!("the shipped module {name} was not read"))
    }

    /// Symbols of this name that the kernel lists for vmlinux or a module, in its order.
    fn listed(&self, object: Option<&str>, name: &str) -> Result<Vec<Place>, String> {
        let Some(module) = object else {
            return Ok(self.image.kallsyms.named(name).map(|s| vmlinux(s.address)).collect());
        };
        let file = &self.module(module)?.object;
        let named = self.module(module)?.named(name).filter_map(|s| Some((s.section()?, s.value)));
        let all: Vec<(usize, u64)> = named.collect();
        // They are gone once the module has started, and until then they count.
        if all.len() > 1 && all.iter().any(|&(home, _)| file.sections[home].name.starts_with(".init")) {
            return Err(format!("positions among the symbols {name} of {module} change when it has started"));
        }
        Ok(all.into_iter().map(|(space, at)| Place::At(Some(module.into()), Spot { space, at })).collect())
    }

    /// As livepatch finds a symbol (kernel/livepatch/core.c, klp_find_object_symbol).
    fn found(&self, object: Option<&str>, name: &str, sympos: u64) -> Result<Place, String> {
        let all = self.listed(object, name)?;
        let number = all.len();
        let position = match (sympos, number) {
            (0, 1) => 0,
            (0, _) => return Err(format!("there are {number} symbols {name}, not one")),
            (n, _) => usize::try_from(n - 1).unwrap_or(usize::MAX),
        };
        all.into_iter().nth(position).ok_or_else(|| format!("there are {number} symbols {name}, not {sympos}"))
    }

    /// The one global symbol of this name.
    fn global(&self, object: Option<&str>, name: &str) -> Result<Option<Place>, String> {
        let all: Vec<Place> = match object {
            None => {
                let all = self.image.kallsyms.named(name).filter(|s| s.is_global());
                all.map(|s| vmlinux(s.address)).collect()
            }
            Some(module) => {
                let all = self.module(module)?.named(name).filter(|s| !s.is_local());
                let place =
                    |s: &Symbol| Some(Place::At(Some(module.into()), Spot { space: s.section()?, at: s.value }));
                all.filter_map(place).collect()
            }
        };
        match <[Place; 1]>::try_from(all) {
            Ok([one]) => Ok(Some(one)),
            Err(all) if all.is_empty() => Ok(None),
            Err(all) => Err(format!("{} has {} global symbols {name}", object.unwrap_or("vmlinux"), all.len())),
        }
    }

    /// What an export leads to.
    fn exported(&self, name: &str) -> Result<Place, String> {
        let export = self.symvers.get(name);
        // Of a static call the trampoline may be exported without the key (EXPORT_STATIC_CALL_TRAMP).
        let trampoline = name.strip_prefix(KEY).map(|call| format!("{TRAMPOLINE}{call}"));
        let export = export.or_else(|| self.symvers.get(&trampoline?));
        let export = export.ok_or_else(|| format!("the kernel does not export {name}"))?;
        // Without data in kallsyms an export is known by its name alone.
        Ok(self.global(export.module.as_deref(), name)?.unwrap_or_else(|| Place::Named(name.into(), 0)))
    }
}

impl World for Kernel<'_> {
    fn outside(&self, symbol: &Symbol) -> Result<Place, String> {
        match symbol.place {
            elf::Place::Livepatch => {
                let klp = KlpName::parse(&symbol.name).ok_or("it is no name of a livepatch symbol")?;
                self.found(object_of(&klp.object), &klp.name, klp.sympos)
            }
            _ if self.symvers.get(&symbol.name).is_none() => Err("the kernel does not export it".into()),
            _ => self.exported(&symbol.name),
        }
    }

    fn of_unit(&self, unit: usize, name: &str) -> Result<Place, String> {
        let (it, proof) = self.units[unit];
        if let Some(spot) = proof.spot(it.original, name) {
            return Ok(Place::At(it.module.map(String::from), spot));
        }
        let defines = |s: &&Symbol| s.name == name && s.section().is_some();
        let public = it.original.symbols.iter().find(defines).is_some_and(|s| !s.is_local());
        let place = match public {
            true => self.global(it.module, name)?,
            false if self.allowed.contains(name) => Some(self.found(it.module, name, 0)?),
            false => None,
        };
        place.ok_or_else(|| format!("it is not proven where {name} of {} is in the running kernel", it.source))
    }

    fn defined(&self, unit: usize, name: &str) -> Result<Option<Place>, String> {
        let (it, proof) = self.units[unit];
        self.global(it.module, name).or_else(|why| match proof.symbols.get(name) {
            Some(&spot) => Ok(Some(Place::At(it.module.map(String::from), spot))),
            None => Err(why),
        })
    }

    fn meant(&self, unit: usize, name: &str) -> Result<Place, String> {
        if let Some(place) = self.defined(unit, name)? {
            return Ok(place);
        }
        let (it, proof) = self.units[unit];
        match (self.exported(name), proof.symbols.get(name)) {
            (Ok(place), _) => Ok(place),
            (Err(_), Some(&spot)) => Ok(Place::At(it.module.map(String::from), spot)),
            (Err(why), None) => Err(why),
        }
    }

    fn storage(&self, place: &Place) -> Option<Storage> {
        match place {
            Place::At(None, spot) => self.image.storage(spot.at),
            Place::At(Some(module), spot) => self.modules.get(module)?.storage(*spot),
            Place::Named(..) => None,
        }
    }

    fn closed(&self, place: &Place) -> Option<&'static str> {
        match place {
            Place::At(module, spot) => self.indirect.closed(module.as_deref(), *spot),
            Place::Named(..) => None,
        }
    }

    fn describe(&self, place: &Place) -> String {
        match place {
            Place::At(None, spot) => self.image.describe(*spot),
            Place::At(Some(module), spot) => match self.modules.get(module) {
                Some(found) => format!("{} of {module}", found.describe(*spot)),
                None => format!("section {}+{:#x} of {module}", spot.space, spot.at),
            },
            Place::Named(name, 0) => name.clone(),
            Place::Named(name, by) => format!("{name}{by:+}"),
        }
    }
}

/// Reads the finished module `ko`.
///
/// # Errors
/// [`Refused`] with what cannot be shown; or bytes that are no module.
pub fn audit_module(ko: &[u8], units: &[Unit<'_>], kernel: &Kernel<'_>) -> Result<Shown> {
    let module = read(ko, Take::NoDebug).context("the finished module")?;
    let roots = roots(&module, units, kernel).map_err(Refused)?;
    Ok(audit(&module, units, &roots, kernel, &kernel.image.layouts, true).map_err(Refused)?)
}

/// The functions that the module registers: struct klp_func is old_name, new_func, old_sympos (include/linux/livepatch.h).
fn roots(module: &Object, units: &[Unit<'_>], kernel: &Kernel<'_>) -> Result<Vec<Root>, Vec<crate::error::Refusal>> {
    let tables = Tables::of(module);
    let is_list = |s: &&Symbol| s.name.starts_with("_R") && s.name.ends_with("7OBJECTS");
    let starts = module.symbols.iter().filter(is_list).filter_map(|s| Some((s.section()?, s.value)));
    let (mut roots, mut refusals) = (Vec::new(), Vec::new());
    for (owner, functions) in starts.flat_map(|start| klp_lists(&tables, start)) {
        for (at, Function { name, sympos }) in functions {
            match root(&tables, at, &owner, &name, sympos, units, kernel) {
                Ok(root) => roots.push(root),
                Err(why) => refusals.push(not_shown(&name, &owner, why)),
            }
        }
    }
    match refusals.is_empty() {
        true => Ok(roots),
        false => Err(refusals),
    }
}

fn root(
    tables: &Tables<'_>,
    at: (usize, u64),
    owner: &str,
    name: &str,
    sympos: u64,
    units: &[Unit<'_>],
    kernel: &Kernel<'_>,
) -> Result<Root, String> {
    let code = tables.pointer((at.0, at.1 + 8)).ok_or("no code is registered for it")?;
    let old = kernel.found(object_of(owner), name, sympos)?;
    // Another file of the fix may call it.
    let defines = |n: usize| units[n].original.symbols.iter().any(|s| s.name == name && s.section().is_some());
    let is_its = |n: &usize| {
        units[*n].module == object_of(owner) && defines(*n) && kernel.of_unit(*n, name).as_ref() == Ok(&old)
    };
    let unit = (0..units.len()).find(is_its);
    let unit = unit.ok_or_else(|| format!("{} is proven to be of none of the patched files", kernel.describe(&old)))?;
    Ok(Root { unit, old_name: name.into(), old, at: code })
}
