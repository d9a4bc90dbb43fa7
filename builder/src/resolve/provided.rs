// SPDX-License-Identifier: GPL-2.0-or-later
//! Global names that the payloads define: the extracts of all units in, the payload that a unit means by a name out.
//!
//! vmlinux and each module have names of their own, and a live patch for several of them is one module: a reference to
//! a name means that of its own klp object, or else an export. A name that several payloads define gets a different
//! name in each.

use crate::diff::names::cold_parent;
use crate::elf::{Bind, Object, Symbol};
use crate::extract::Extract;
use crate::image::symvers::Symvers;
use std::collections::{HashMap, HashSet};

/// The payloads' global names.
pub struct Provided<'e> {
    units: Vec<(Option<&'e str>, &'e Extract)>,
    /// The numbers of the units by name.
    by: HashMap<&'e str, Vec<usize>>,
}

impl<'e> Provided<'e> {
    /// Gathers what `units` bring, each with its module (None for vmlinux).
    pub fn new(units: impl Iterator<Item = (Option<&'e str>, &'e Extract)>) -> Self {
        let units: Vec<_> = units.collect();
        let mut by: HashMap<&str, Vec<usize>> = HashMap::new();
        for (n, (_, extract)) in units.iter().enumerate() {
            for symbol in extract.object.symbols.iter().filter(|s| is_provided(s)) {
                let all = by.entry(&symbol.name).or_default();
                // The linker takes a weak one where there is no other.
                all.insert(if symbol.bind == Bind::Weak { all.len() } else { 0 }, n);
            }
        }
        Self { units, by }
    }

    /// The number of the unit whose payload has what a unit of `module` means by `name`.
    pub fn unit(&self, module: Option<&str>, name: &str, symvers: &Symvers) -> Option<usize> {
        let all = self.by.get(name)?;
        let of = |wanted: Option<&str>| all.iter().copied().find(|n| self.units[*n].0 == wanted);
        let exported = || of(symvers.get(name)?.module.as_deref());
        // What the fixes add has no namesake in the kernel.
        let new = || match all[..] {
            [n] => self.units[n].1.replaced.iter().all(|r| r.old_name != name).then_some(n),
            _ => None,
        };
        of(module).or_else(exported).or_else(new)
    }

    /// The module of unit number `n`; None for vmlinux.
    pub fn module(&self, n: usize) -> Option<&'e str> {
        self.units[n].0
    }

    /// The name by which the payload of unit `n` is linked to what is called `name` in it.
    fn linked(&self, n: usize, name: &str) -> Option<String> {
        self.by.get(name).filter(|all| all.len() > 1).map(|_| format!("kmend.{n}.own.{name}"))
    }

    /// Renames what several payloads define, in `object`, the payload of unit `n`. The cold part of a function is local and is
    /// renamed with it, because objtool finds the function by the name of its cold part.
    pub fn keep_apart(&self, n: usize, object: &mut Object, symvers: &Symvers) {
        let own: HashSet<String> = object.symbols.iter().filter(|s| is_provided(s)).map(|s| s.name.clone()).collect();
        for symbol in &mut object.symbols {
            if let Some(parent) = cold_parent(&symbol.name).filter(|p| symbol.is_local() && own.contains(*p)) {
                if let Some(name) = self.linked(n, parent) {
                    symbol.name = format!("{name}{}", &symbol.name[parent.len()..]);
                }
                continue;
            }
            let owner = match symbol.is_undefined() {
                true => self.unit(self.units[n].0, &symbol.name, symvers),
                false => is_provided(symbol).then_some(n),
            };
            if let Some(name) = owner.and_then(|owner| self.linked(owner, &symbol.name)) {
                symbol.name = name;
            }
        }
    }
}

fn is_provided(symbol: &Symbol) -> bool {
    !symbol.is_local() && symbol.section().is_some()
}
