// SPDX-License-Identifier: GPL-2.0-or-later
//! Compares whole files with the shipped kernel, without any fix: units in, which of their functions match out.
//! `kmend-build prove` and `cargo xtask prove` show it.

use super::explain::{self, Evidence};
use super::rebuild::rebuild;
use super::{all_units, Proof, Verdict};
use crate::compile;
use crate::elf::read::{read, Take};
use crate::elf::Object;
use crate::image::module::Module;
use crate::image::Image;
use crate::target::kbuild::Unit;
use crate::target::modules;
use crate::target::Target;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One unit compared with what is shipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitReport {
    /// Its source file.
    pub source: String,
    /// `vmlinux`, or the module's name.
    pub object: String,
    /// How many functions it has.
    pub functions: usize,
    /// How many of them are in the shipped kernel as they were rebuilt.
    pub proven: usize,
    /// Bytes of all its functions.
    pub bytes: u64,
    /// Bytes of those that are there.
    pub bytes_proven: u64,
    /// The others.
    pub differs: Vec<Difference>,
}

/// A function that is not in the shipped kernel as it was rebuilt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its name.
    pub function: String,
    /// Where it was compared; none where no place was found.
    pub at: Option<String>,
    /// Offset of the first difference in the function.
    pub offset: u64,
    /// What differs.
    pub reason: String,
    /// The likely cause, with the evidence for it.
    #[serde(default)]
    pub cause: String,
    /// The rebuilt and the shipped code around it, as assembly; empty where there is nothing to compare.
    #[serde(default)]
    pub code: String,
}

/// Proves whole units of a target; what is shipped of it is read as far as it is asked for.
pub struct Prover<'a> {
    target: &'a Target,
    image: Image,
    modules: BTreeMap<String, Module>,
    evidence: OnceCell<Evidence>,
}

impl<'a> Prover<'a> {
    /// Reads the image of `target`; `unit` is any of its units.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn load(target: &'a Target, unit: Option<&Unit>) -> Result<Self> {
        Ok(Self {
            target,
            image: compile::probe::image(target, unit)?,
            modules: BTreeMap::new(),
            evidence: OnceCell::new(),
        })
    }

    /// The shipped image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Compiles `units` as shipped and compares them.
    ///
    /// # Errors
    /// A unit that does not compile, a module that the target does not have.
    pub fn compare(&mut self, units: &[&Unit], work: &Path) -> Result<Vec<UnitReport>> {
        // Only those of these units are kept: all modules together take much memory.
        let named: BTreeSet<&String> = units.iter().filter_map(|u| u.module.as_ref()).collect();
        self.modules.retain(|name, _| named.contains(name));
        for name in named {
            if !self.modules.contains_key(name) {
                self.modules.insert(name.clone(), modules::load(self.target, name)?);
            }
        }
        let mut all: BTreeMap<usize, UnitReport> = BTreeMap::new();
        rebuild(self.target, units, None, work, &mut |_, objects| {
            let mut doubts = BTreeSet::new();
            for &(n, object) in objects {
                let one = self.compare_one(units[n], object)?;
                if one.proven < one.functions {
                    doubts.insert(n);
                }
                if all.get(&n).is_none_or(|known| one.proven > known.proven) {
                    all.insert(n, one);
                }
            }
            Ok(doubts)
        })?;
        Ok(all.into_values().collect())
    }

    fn compare_one(&self, unit: &Unit, object: &[u8]) -> Result<UnitReport> {
        let object = read(object, Take::NoDebug).with_context(|| format!("{} (as shipped)", unit.object))?;
        let module = unit.module.as_deref();
        let proof = all_units::prove_unit(&object, module, &self.image, &self.modules)?;
        let mut differs = Vec::new();
        for (function, verdict) in &proof.functions {
            if let Verdict::Differs { at, offset, why } = verdict {
                let at = at.map(|at| all_units::describe(at, module, &self.image, &self.modules)).transpose()?;
                let evidence = self.evidence.get_or_init(|| Evidence::of(self.target, &self.image));
                let shipped = all_units::shipped(module, &self.image, &self.modules)?;
                differs.push(Difference {
                    function: function.clone(),
                    at,
                    offset: *offset,
                    reason: why.clone(),
                    cause: evidence.cause(&proof, function),
                    code: explain::code(&object, &proof, function, shipped).unwrap_or_default(),
                });
            }
        }
        Ok(UnitReport {
            source: unit.source.clone(),
            object: module.unwrap_or("vmlinux").into(),
            functions: proof.functions.len(),
            proven: proof.proven(),
            bytes: bytes(&object, &proof, |_| true),
            bytes_proven: bytes(&object, &proof, |v| matches!(v, Verdict::Proven(_))),
            differs,
        })
    }
}

/// Bytes of the functions with a verdict of this kind.
fn bytes(object: &Object, proof: &Proof, kind: impl Fn(&Verdict) -> bool) -> u64 {
    let counts = |name: &str| proof.functions.get(name).is_some_and(&kind);
    let sizes: BTreeMap<&str, u64> = object
        .symbols
        .iter()
        .filter(|s| s.kind == crate::elf::SymKind::Func && s.section().is_some() && counts(&s.name))
        .map(|s| (s.name.as_str(), s.size))
        .collect();
    sizes.values().sum()
}
