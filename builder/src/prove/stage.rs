// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage prove: all units in, [`Proven`] out: every function that is replaced stands in the shipped kernel.

use super::module::Module;
use super::{prove, Proof, Shipped, Spot, Verdict};
use crate::diff::ChangeSet;
use crate::elf::Object;
use crate::error::{Refusal, Refused};
use crate::image::Image;
use crate::progress;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// One unit to be proven.
pub struct Claim<'a> {
    /// Its source file, for messages.
    pub source: &'a str,
    /// The module it is part of; None for vmlinux.
    pub module: Option<&'a str>,
    /// Its original, compiled with exactly kbuild's flags.
    pub shipped: &'a Object,
    /// What the fix changes in it.
    pub changes: &'a ChangeSet<'a>,
}

/// Proofs of all units, in their order, under which every replaced function stands in the shipped kernel.
/// Only [`prove_all`] makes one.
pub struct Proven(Vec<Proof>);

impl Proven {
    /// The proofs, one a unit.
    pub fn proofs(&self) -> &[Proof] {
        &self.0
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
    Ok(prove(object, shipped(module, image, modules)?, jump_entry(image)))
}

fn shipped<'a>(
    module: Option<&str>,
    image: &'a Image,
    modules: &'a BTreeMap<String, Module>,
) -> Result<&'a dyn Shipped> {
    match module {
        None => Ok(image),
        Some(name) => Ok(modules.get(name).with_context(|| format!("the shipped module {name} was not read"))?),
    }
}

fn jump_entry(image: &Image) -> u64 {
    image.layouts.size("jump_entry").unwrap_or(0)
}

/// Where a place of what is shipped lies, in words.
///
/// # Errors
/// The module was not read.
pub fn describe(spot: Spot, module: Option<&str>, image: &Image, modules: &BTreeMap<String, Module>) -> Result<String> {
    Ok(shipped(module, image, modules)?.describe(spot))
}

/// Proves each unit against the image or its module.
///
/// # Errors
/// [`Refused`] with each replaced function that does not stand in the shipped kernel.
pub fn prove_all(claims: &[Claim<'_>], image: &Image, modules: &BTreeMap<String, Module>) -> Result<Proven> {
    let step = progress::step("proving the originals against the shipped kernel");
    let mut refusals = Vec::new();
    let mut proofs = Vec::new();
    for claim in claims {
        let shipped = shipped(claim.module, image, modules)?;
        let proof = prove(claim.shipped, shipped, jump_entry(image));
        for original in claim.changes.functions.iter().filter_map(|f| f.original) {
            let name = &claim.changes.original.items[original].name;
            if let Some(why) = why_not(&proof, name, shipped) {
                refusals.push(Refusal::new(
                    "unproven",
                    name,
                    claim.source,
                    why,
                    "check that compiler, .config and source are those that the running kernel was built from",
                ));
            }
        }
        proofs.push(proof);
    }
    if !refusals.is_empty() {
        step.done(&format!("{} that the fix changes in doubt", refusals.len()));
        return Err(Refused(refusals).into());
    }
    let total: usize = proofs.iter().map(|p| p.functions.len()).sum();
    let proven: usize = proofs.iter().map(Proof::proven).sum();
    step.done(&format!("{proven} of {total} functions of these files stand there byte for byte"));
    Ok(Proven(proofs))
}

/// Why a function is not proven; None where it is.
fn why_not(proof: &Proof, name: &str, shipped: &dyn Shipped) -> Option<String> {
    Some(match proof.functions.get(name) {
        Some(Verdict::Proven(_)) => return None,
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
