// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage prove: all units in, [`Proven`] out: every function that the live patch replaces is in the shipped kernel, and
//! so is everything that the patched code refers to through livepatch relocations.

use super::explain;
use super::other_units::{self, OtherUnits, Wanted};
use super::{prove, Proof, Verdict};
use crate::diff::patchability::running_name;
use crate::diff::ChangeSet;
use crate::elf::{Bind, Object, SymKind};
use crate::error::{Refusal, Refused};
use crate::extract::{External, Origin};
use crate::image::module::Module;
use crate::image::shipped::{Named, Shipped, Spot};
use crate::image::symvers::Symvers;
use crate::image::Image;
use crate::progress;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One unit to be proven.
pub struct Claim<'a> {
    /// Its source file, for messages.
    pub source: &'a str,
    /// The module it is part of; None for vmlinux.
    pub module: Option<&'a str>,
    /// Its original, compiled with exactly kbuild's flags.
    pub rebuilt: &'a Object,
    /// What the fix changes in it.
    pub changes: &'a ChangeSet<'a>,
    /// What its patched code refers to by way of livepatch.
    pub references: Vec<&'a External>,
}

/// How it was shown that a symbol is what the patched code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// A function: it is in the shipped kernel byte for byte.
    Bytes,
    /// Proven code of the shipped kernel refers to it, and that reference was followed.
    Reference,
    /// A datum: the one global symbol of this name.
    Name,
    /// It is exported: what modules reach by its name.
    Export,
    /// It was not shown; `--allow-unproven` names it.
    Allowed,
}

/// A function that was let through without a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproven {
    /// Its name.
    pub function: String,
    /// `vmlinux` or a module's name.
    pub object: String,
    /// Replaced, or only referred to.
    pub replaced: bool,
    /// Why it is not proven.
    pub reason: String,
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, object, reason, .. } = self;
        let what = if self.replaced { "replaces" } else { "uses" };
        write!(f, "the live patch {what} {function} of {object}: {reason}")
    }
}

/// Proofs of all units under which every replaced function is in the shipped kernel. Only [`prove_all`] makes one.
#[derive(Default)]
pub struct Proven {
    /// What is shown of each unit, in the order of the claims.
    pub units: Vec<UnitProof>,
    /// What was let through.
    pub unproven: Vec<Unproven>,
}

/// What is shown of one unit. Only [`prove_all`] makes one.
pub struct UnitProof {
    proof: Proof,
    places: BTreeMap<String, Spot>,
    shown: BTreeMap<String, Shown>,
}

impl UnitProof {
    fn new(proof: Proof) -> Self {
        Self { proof, places: BTreeMap::new(), shown: BTreeMap::new() }
    }

    /// Each of its functions, and where its sections and symbols are.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Where a function that is replaced is.
    pub fn place(&self, name: &str) -> Option<Spot> {
        self.places.get(name).copied()
    }

    /// How it was shown that `name` is what the unit means by it.
    pub fn shown(&self, name: &str) -> Option<Shown> {
        self.shown.get(name).copied()
    }
}

/// What units are proven against: what is shipped, and who may be asked for more.
pub struct Against<'a> {
    /// The image.
    pub image: &'a Image,
    /// The modules that are patched.
    pub modules: &'a BTreeMap<String, Module>,
    /// All exports.
    pub symvers: &'a Symvers,
    /// Who proves functions of other units.
    pub elsewhere: &'a OtherUnits<'a>,
}

impl Against<'_> {
    /// Why `name` of a unit is not proven: what differs, the likely cause, the code on both sides.
    pub fn explain(&self, object: &Object, proof: &Proof, name: &str, shipped: &dyn Shipped, what: String) -> String {
        let cause = self.elsewhere.evidence(self.image).cause(proof, name);
        let code = explain::code(object, proof, name, shipped);
        let code: String = code.iter().flat_map(|code| code.lines()).map(|line| format!("\n      {line}")).collect();
        format!("{what}; {cause}{code}")
    }
}

/// Proves one unit, whatever may change in it, against the image or its module.
///
/// # Errors
/// The module was not read.
pub fn prove_unit(
    object: &Object,
    module: Option<&str>,
    image: &Image,
    modules: &BTreeMap<String, Module>,
) -> Result<Proof> {
    Ok(prove(object, shipped(module, image, modules)?, &image.layouts))
}

pub(super) fn shipped<'a>(
    module: Option<&str>,
    image: &'a Image,
    modules: &'a BTreeMap<String, Module>,
) -> Result<&'a dyn Shipped> {
    match module {
        None => Ok(image),
        Some(name) => Ok(modules.get(name).with_context(|| format!("the shipped module {name} was not read"))?),
    }
}

/// Where a place of what is shipped lies, in words.
///
/// # Errors
/// The module was not read.
pub fn describe(spot: Spot, module: Option<&str>, image: &Image, modules: &BTreeMap<String, Module>) -> Result<String> {
    Ok(shipped(module, image, modules)?.describe(spot))
}

/// Proves each unit against the image or its module; then what they refer to. Functions in `allowed` may lack a proof.
///
/// # Errors
/// A module that was not read; a file that does not compile.
pub fn prove_all(claims: &[Claim<'_>], against: &Against<'_>, allowed: &BTreeSet<String>) -> Result<Tried> {
    let step = progress::step("proving the originals against the shipped kernel");
    let mut run = Run { claims, against, allowed, doubts: Vec::new(), wanted: Vec::new(), out: Proven::default() };
    for claim in claims {
        let shipped = shipped(claim.module, against.image, against.modules)?;
        run.out.units.push(UnitProof::new(prove(claim.rebuilt, shipped, &against.image.layouts)));
    }
    for n in 0..claims.len() {
        run.replaced(n)?;
        run.referred(n);
    }
    if !run.doubts.is_empty() {
        step.done(&format!("{} that the fix changes or uses in doubt", run.doubts.len()));
        return Ok(Tried::InDoubt(run.doubts));
    }
    let total: usize = run.out.units.iter().map(|u| u.proof.functions.len()).sum();
    let proven: usize = run.out.units.iter().map(|u| u.proof.proven()).sum();
    run.elsewhere()?;
    if !run.doubts.is_empty() {
        step.done(&format!("{} that the fix uses in doubt", run.doubts.len()));
        return Ok(Tried::InDoubt(run.doubts));
    }
    step.done(&format!("{proven} of {total} functions of these files match the shipped kernel byte for byte"));
    Ok(Tried::Proven(run.out))
}

/// What came of a try.
pub enum Tried {
    /// Everything was found in the shipped kernel.
    Proven(Proven),
    /// Each function that was not found in the shipped kernel. Those of the units' own files come first: as long as there
    /// are any, others are not looked for.
    InDoubt(Vec<Doubt>),
}

/// A function that was not found in the shipped kernel as it was rebuilt.
pub struct Doubt {
    /// The number of the claim that it is part of.
    pub claim: usize,
    /// What is said of it, if it stays so.
    pub refusal: Refusal,
}

impl Tried {
    /// The numbers of the claims with functions in doubt.
    pub fn doubts(&self) -> BTreeSet<usize> {
        match self {
            Self::Proven(_) => BTreeSet::new(),
            Self::InDoubt(doubts) => doubts.iter().map(|doubt| doubt.claim).collect(),
        }
    }

    /// The proof.
    ///
    /// # Errors
    /// [`Refused`] with all that is in doubt.
    pub fn proven(self) -> Result<Proven> {
        match self {
            Self::Proven(proven) => Ok(proven),
            Self::InDoubt(doubts) => Err(Refused(doubts.into_iter().map(|doubt| doubt.refusal).collect()).into()),
        }
    }
}

struct Run<'a> {
    claims: &'a [Claim<'a>],
    against: &'a Against<'a>,
    allowed: &'a BTreeSet<String>,
    doubts: Vec<Doubt>,
    /// What only a unit that was not compiled can show, by the unit that refers to it.
    wanted: Vec<(usize, Wanted)>,
    out: Proven,
}

impl Run<'_> {
    /// The functions that unit number `n` replaces.
    fn replaced(&mut self, n: usize) -> Result<()> {
        let claim = &self.claims[n];
        let shipped = shipped(claim.module, self.against.image, self.against.modules)?;
        for original in claim.changes.functions.iter().filter_map(|f| f.original) {
            let name = &running_name(&claim.changes.original, original).to_string();
            let Err(why) = proven_at(&self.out.units[n].proof, name, shipped) else {
                if let Some(&Verdict::Proven(spot)) = self.out.units[n].proof.functions.get(name) {
                    self.out.units[n].places.insert(name.clone(), spot);
                }
                continue;
            };
            if !self.allowed.contains(name) {
                let why = self.against.explain(claim.rebuilt, &self.out.units[n].proof, name, shipped, why);
                self.refuse(n, name, why);
                continue;
            }
            match place_of_unproven(&self.out.units[n].proof, claim.rebuilt, name, shipped) {
                Some(spot) => {
                    self.out.units[n].places.insert(name.clone(), spot);
                    self.let_through(n, name, why, true);
                }
                None => self.refuse(
                    n,
                    name,
                    format!("{why}; --allow-unproven names it, but the kernel has several functions of this name and nothing shows which one is this file's"),
                ),
            }
        }
        Ok(())
    }

    /// What unit number `n` refers to, as far as the units at hand can show it.
    fn referred(&mut self, n: usize) {
        let claim = &self.claims[n];
        for external in &claim.references {
            let name = &external.name;
            match self.shown(n, external) {
                Ok(Some(shown)) => _ = self.out.units[n].shown.insert(name.clone(), shown),
                // `resolve` finds it, or refuses it by name.
                Ok(None) => {}
                Err(why) if self.allowed.contains(name) => {
                    self.out.units[n].shown.insert(name.clone(), Shown::Allowed);
                    self.let_through(n, name, why, false);
                }
                Err(why) => {
                    let why = match shipped(claim.module, self.against.image, self.against.modules) {
                        Ok(shipped) => {
                            self.against.explain(claim.rebuilt, &self.out.units[n].proof, name, shipped, why)
                        }
                        Err(_) => why,
                    };
                    self.refuse(n, name, format!("the patched code refers to it, and it is not proven: {why}"));
                }
            }
        }
    }

    /// How a reference is shown to lead where the patched code means it to; None where that is not settled here; why not
    /// for a function of this unit.
    fn shown(&mut self, n: usize, external: &External) -> Result<Option<Shown>, String> {
        let claim = &self.claims[n];
        let (name, proof) = (external.means(), &self.out.units[n].proof);
        let own = claim.rebuilt.symbols.iter().find(|s| s.name == name && s.section().is_some());
        if let (Some(symbol), Origin::Unit { .. } | Origin::Running { .. }) = (own, &external.origin) {
            let overridden = symbol.bind == crate::elf::Bind::Weak && proof.symbols.contains_key(name);
            let is_code = symbol.section().is_some_and(|s| claim.rebuilt.sections[s].is_text());
            return match proof.functions.get(name) {
                _ if overridden => Ok(Some(Shown::Reference)),
                Some(Verdict::Proven(_)) => Ok(Some(Shown::Bytes)),
                Some(Verdict::Differs { .. }) => {
                    let shipped = shipped(claim.module, self.against.image, self.against.modules);
                    let shipped = shipped.map_err(|e| e.to_string())?;
                    Err(proven_at(proof, name, shipped).err().unwrap_or_default())
                }
                None if is_code && symbol.kind != SymKind::Section => Err("it is code without a size".into()),
                None if proof.spot(claim.rebuilt, name).is_some() => Ok(Some(Shown::Reference)),
                None => Ok(self.by_name(n, name)),
            };
        }
        // Of all units of the same klp object: a global name means the same in each.
        let shipped = shipped(claim.module, self.against.image, self.against.modules).map_err(|e| e.to_string())?;
        let learned = self.claims.iter().zip(&self.out.units).any(|(other, UnitProof { proof, .. })| {
            match proof.functions.get(name) {
                _ if other.module != claim.module => false,
                Some(Verdict::Proven(at)) if shipped.is_named(name, *at) != Named::OtherUnits => {
                    is_global(other.rebuilt, name)
                }
                // Of a weak one the kernel has another definition.
                Some(verdict) => {
                    let other_runs = matches!(verdict, Verdict::Proven(_)) && is_weak(other.rebuilt, name);
                    other_runs && proof.symbols.contains_key(name)
                }
                None => proof.symbols.contains_key(name) && !is_local_anywhere(other.rebuilt, name),
            }
        });
        if learned {
            return Ok(Some(Shown::Reference));
        }
        Ok(self.by_name(n, name))
    }

    /// A symbol of which only its name is known, and that a new reference of the patched code goes to.
    fn by_name(&mut self, n: usize, name: &str) -> Option<Shown> {
        let claim = &self.claims[n];
        let wanted = |at: Spot, module: Option<&str>| Wanted {
            name: name.into(),
            module: module.map(String::from),
            at,
            near: claim.source.into(),
        };
        let in_module = claim.module.and_then(|m| self.against.modules.get(m));
        if let Some(module) = in_module {
            let mut all = module.named(name).filter(|s| !s.is_local());
            if let Some(symbol) = all.next() {
                let spot = Spot { space: symbol.section()?, at: symbol.value };
                if symbol.kind != SymKind::Func {
                    return Some(Shown::Name);
                }
                self.wanted.push((n, wanted(spot, claim.module)));
                return None;
            }
        }
        if self.against.symvers.get(name).is_some() {
            return Some(Shown::Export);
        }
        let mut globals = self.against.image.kallsyms.named(name).filter(|s| s.is_global());
        let (symbol, None) = (globals.next()?, globals.next()) else { return None };
        if !self.against.image.is_code_at(symbol.address) {
            return Some(Shown::Name);
        }
        self.wanted.push((n, wanted(Spot { space: 0, at: symbol.address }, None)));
        None
    }

    /// Functions of units that were not compiled.
    fn elsewhere(&mut self) -> Result<()> {
        for (n, wanted) in std::mem::take(&mut self.wanted) {
            let shown = &mut self.out.units[n].shown;
            match self.against.elsewhere.prove(&wanted, self.against)? {
                other_units::Answer::Proven => _ = shown.insert(wanted.name, Shown::Bytes),
                other_units::Answer::Unproven(why) if self.allowed.contains(&wanted.name) => {
                    shown.insert(wanted.name.clone(), Shown::Allowed);
                    self.let_through(n, &wanted.name, why, false);
                }
                other_units::Answer::Unproven(why) => self.refuse(
                    n,
                    &wanted.name,
                    format!("the patched code refers to it, the original did not, and it is not proven: {why}"),
                ),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, n: usize, name: &str, why: String) {
        let hint = "check that compiler, .config and source are those that the running kernel was built from; \
                    `--allow-unproven` lets a function through whose difference you have looked at";
        let refusal = Refusal::new("unproven", name, self.claims[n].source, why, hint);
        self.doubts.push(Doubt { claim: n, refusal });
    }

    fn let_through(&mut self, n: usize, name: &str, reason: String, replaced: bool) {
        let object = self.claims[n].module.unwrap_or("vmlinux").to_string();
        let new = Unproven { function: name.into(), object, replaced, reason };
        if !self.out.unproven.contains(&new) {
            self.out.unproven.push(new);
        }
    }
}

fn is_global(object: &Object, name: &str) -> bool {
    object.symbols.iter().any(|s| s.name == name && s.section().is_some() && !s.is_local())
}

fn is_weak(object: &Object, name: &str) -> bool {
    object.symbols.iter().any(|s| s.name == name && s.section().is_some() && s.bind == Bind::Weak)
}

fn is_local_anywhere(object: &Object, name: &str) -> bool {
    object.symbols.iter().any(|s| s.name == name && s.section().is_some() && s.is_local())
}

/// Why a function is not proven.
fn proven_at(proof: &Proof, name: &str, shipped: &dyn Shipped) -> Result<(), String> {
    Err(match proof.functions.get(name) {
        Some(Verdict::Proven(_)) => return Ok(()),
        Some(Verdict::Differs { at: Some(at), offset, why }) => {
            format!(
                "the rebuilt original differs from the shipped code at {} in byte {offset:#x}: {why}",
                shipped.describe(*at)
            )
        }
        Some(Verdict::Differs { at: None, why, .. }) => why.clone(),
        None => "the original, compiled with the kernel's own flags, has no such function".into(),
    })
}

/// Where a function is that is not proven: it is the one of its name, or it is among functions of its file that are
/// proven.
fn place_of_unproven(proof: &Proof, object: &Object, name: &str, shipped: &dyn Shipped) -> Option<Spot> {
    if let [only] = shipped.functions(name)[..] {
        return Some(only);
    }
    let at = match proof.functions.get(name)? {
        Verdict::Differs { at, .. } => (*at)?,
        Verdict::Proven(at) => *at,
    };
    let home = object.symbols.iter().find(|s| s.name == name && s.section().is_some())?.section();
    let proven = |n: &str| matches!(proof.functions.get(n), Some(Verdict::Proven(_)));
    let beside = object.symbols.iter().any(|s| s.section() == home && s.kind == SymKind::Func && proven(&s.name));
    (beside && shipped.is_named(name, at) == Named::Yes).then_some(at)
}
