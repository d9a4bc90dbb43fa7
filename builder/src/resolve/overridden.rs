// SPDX-License-Identifier: GPL-2.0-or-later
//! Weak definitions of which the kernel has a strong one elsewhere: units with their extracts in, refusals out, and extracts
//! in which such a name means what the running kernel means by it.
//!
//! The linker of the kernel dropped the weak name; the code under it is there without a name, or under another: of
//! `int arch_sched_node_distance(int, int) __weak __alias(numa_node_dist)` x86 runs its own, and numa_node_dist() as well.

use crate::elf::{Bind, Object, Place, SymId, Symbol};
use crate::error::Refusal;
use crate::extract::{External, Extract, Origin};
use crate::image::module::Module;
use crate::image::Image;
use std::collections::BTreeMap;

/// What is shipped.
pub struct Kernel<'a> {
    /// The image.
    pub image: &'a Image,
    /// The modules that are patched.
    pub modules: &'a BTreeMap<String, Module>,
}

impl Kernel<'_> {
    /// Whether what runs as `name` in vmlinux or a module is no weak definition.
    pub fn overrides(&self, module: Option<&str>, name: &str) -> bool {
        let (weak, strong) = match module.map(|module| self.modules.get(module)) {
            None => {
                let mut globals = self.image.kallsyms.named(name).filter(|s| s.is_global());
                (globals.clone().any(|s| s.is_weak()), globals.next().is_some())
            }
            Some(module) => {
                let all: Vec<Bind> = module.into_iter().flat_map(|m| m.named(name)).map(|s| s.bind).collect();
                (all.contains(&Bind::Weak), all.contains(&Bind::Global))
            }
        };
        strong && !weak
    }
}

/// Replaced functions of a unit that never run: the kernel has another definition. `files` says where that may be.
pub fn refusals(
    kernel: &Kernel<'_>,
    (module, original): (Option<&str>, &Object),
    extract: &Extract,
    files: &mut dyn FnMut(&str) -> Vec<String>,
) -> Vec<Refusal> {
    let weak =
        |name: &str| original.symbols.iter().any(|s| s.name == name && s.section().is_some() && s.bind == Bind::Weak);
    let names = extract.replaced.iter().map(|r| r.old_name.as_str());
    names
        .filter(|name| weak(name) && kernel.overrides(module, name))
        .map(|name| {
            let files = files(name);
            let home = if files.is_empty() { "another file".to_string() } else { files.join(" or ") };
            Refusal::new(
                "overridden",
                name,
                "",
                format!("this weak function does not run: the kernel uses the definition in {home} instead"),
                "leave this part of the fix out: it changes nothing in this kernel; if the other definition has the same bug, fix that one",
            )
        })
        .collect()
}

/// Has the names of an extract that the kernel overrides mean the kernel's own: what refers to one of them refers to
/// something outside, and no other unit gets this one's code by it.
pub fn settle(kernel: &Kernel<'_>, (module, original): (Option<&str>, &Object), extract: &mut Extract) {
    let object = &mut extract.object;
    let is_it = |id: &SymId| {
        let symbol = &object.symbols[*id];
        symbol.bind == Bind::Weak && symbol.section().is_some() && kernel.overrides(module, &symbol.name)
    };
    let found: Vec<SymId> = (1..object.symbols.len()).filter(is_it).collect();
    for id in found {
        let is_used = object.sections.iter().flat_map(|s| &s.relocs).any(|r| r.symbol == id);
        let symbol = &mut object.symbols[id];
        if !is_used {
            symbol.bind = Bind::Local;
            continue;
        }
        (symbol.place, symbol.bind, symbol.value, symbol.size) = (Place::Undefined, Bind::Global, 0, 0);
        let name = symbol.name.clone();
        if !extract.externals.iter().any(|e| e.name == name) {
            extract.externals.push(External { name, origin: Origin::OtherUnits });
        }
    }
    object.sort_symbols();
    for external in &mut extract.externals {
        let by_weak_name = matches!(&external.origin, Origin::Unit { local: false, .. });
        let weak = |s: &Symbol| s.name == external.name && s.section().is_some() && s.bind == Bind::Weak;
        if by_weak_name && original.symbols.iter().any(weak) && kernel.overrides(module, &external.name) {
            external.origin = Origin::OtherUnits;
        }
    }
}
