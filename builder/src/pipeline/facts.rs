// SPDX-License-Identifier: GPL-2.0-or-later
//! What a build came to, as facts: the stages' results in, the manifest out; and of a build that was refused, what is known
//! of the changes.

use super::units::{self, Unit};
use super::{Changed, Request};
use crate::diff::{self, patchability, ChangeSet, ChangedFunction};
use crate::emit::{KlpFunc, Registration};
use crate::explain::Cause;
use crate::extract::Extract;
use crate::manifest::{FunctionFacts, Manifest, SymbolFacts, TargetFacts, UnitFacts, SCHEMA};
use crate::postlink::Livepatch;
use crate::prove::stage::{Proven, Shown};
use crate::prove::{Proof, Verdict};
use crate::resolve::Resolved;
use crate::source::fixed::Fixed;
use crate::source::Fix;
use crate::target::Target;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// What the stages after `diff` found.
pub struct Found<'a> {
    /// The fixes, with what each of them does.
    pub fixes: &'a [Fix],
    /// For each unit, what brought the changes, by the name of the patched function.
    pub causes: &'a [Causes],
    /// An extract a unit.
    pub extracts: &'a [Extract],
    /// Where the originals are.
    pub proven: &'a Proven,
    /// The functions by klp object.
    pub registration: &'a Registration,
    /// What the payloads refer to.
    pub resolved: &'a Resolved,
    /// The module as it is linked.
    pub livepatch: &'a Livepatch,
}

type Causes = BTreeMap<String, Vec<Cause>>;

/// The units of a build that came no further than its changes.
pub fn unproven(target: &Target, changed: &Changed<'_>) -> Result<Vec<UnitFacts>> {
    let causes = units::causes(target, changed, &Fixed::of(changed.tree, &target.tree_inside))?;
    let of_unit = |((u, changes), causes): ((&Unit, &ChangeSet<'_>), &Causes)| unit(u, changes, causes);
    Ok(changed.each().zip(&causes).map(of_unit).collect())
}

/// A unit as its changes tell of it.
fn unit(unit: &Unit, changes: &ChangeSet<'_>, causes: &Causes) -> UnitFacts {
    let function = |f: &ChangedFunction| FunctionFacts {
        name: match f.original {
            Some(o) => patchability::running_name(&changes.original, o).into(),
            None => changes.patched.items[f.item].name.clone(),
        },
        status: if f.original.is_some() { "changed" } else { "new" }.into(),
        sympos: None,
        proven_at: None,
        reasons: f.reasons.clone(),
        causes: causes.get(&changes.patched.items[f.item].name).cloned().unwrap_or_default(),
    };
    UnitFacts {
        source: unit.pair.unit.source.clone(),
        object: unit.pair.unit.module.clone().unwrap_or_else(|| "vmlinux".into()),
        functions: changes.functions.iter().map(function).collect(),
        data: Vec::new(),
        special_sections: BTreeMap::new(),
        proven: 0,
        functions_total: 0,
    }
}

/// Adds to `facts` where its functions are in the kernel.
fn locate(facts: &mut UnitFacts, changes: &ChangeSet<'_>, proof: &Proof, registered: &[&KlpFunc]) {
    for (f, facts) in changes.functions.iter().zip(&mut facts.functions) {
        let mine = registered.iter().find(|k| k.old_name == facts.name);
        facts.sympos = mine.map(|k| k.sympos);
        let at = match proof.functions.get(&facts.name) {
            Some(Verdict::Proven(spot)) if spot.space == 0 => Some(format!("{:#x}", spot.at)),
            Some(Verdict::Proven(spot)) => Some(format!("section {}+{:#x}", spot.space, spot.at)),
            _ => None,
        };
        facts.proven_at = at.filter(|_| f.original.is_some());
    }
    (facts.proven, facts.functions_total) = (proof.proven(), proof.functions.len());
}

fn all_units(changed: &Changed<'_>, found: &Found<'_>) -> Vec<UnitFacts> {
    let mut all = Vec::new();
    let extracts = found.extracts.iter().zip(found.proven.proofs());
    for (((u, changes), causes), (extract, proof)) in changed.each().zip(found.causes).zip(extracts) {
        let mut facts = unit(u, changes, causes);
        let objects = found.registration.objects.iter().filter(|o| o.module == u.pair.unit.module);
        let mine: Vec<&KlpFunc> = objects.flat_map(|o| &o.funcs).filter(|f| f.source == facts.source).collect();
        locate(&mut facts, changes, proof, &mine);
        facts.data = extract.data.clone();
        facts.special_sections = extract.special.clone();
        all.push(facts);
    }
    all
}

/// The manifest of a module.
pub fn manifest(request: &Request, changed: &Changed<'_>, found: &Found<'_>) -> Manifest {
    let Found { proven, registration, resolved, .. } = *found;
    let target = &request.target;
    let mut tools = BTreeMap::from([
        ("kmend-build".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("cc".to_string(), target.cc.clone()),
        ("machine".to_string(), kmend_shared::arch::host().to_string()),
    ]);
    tools.extend(target.rustc.clone().map(|rustc| ("rustc".to_string(), rustc)));
    let mut livepatch_symbols: BTreeMap<_, BTreeSet<Shown>> = BTreeMap::new();
    for ((unit, name), symbol) in &resolved.found {
        livepatch_symbols.entry(symbol.clone()).or_default().extend(proven.shown(*unit, name));
    }
    let strongest = |(symbol, shown): (_, BTreeSet<Shown>)| SymbolFacts { symbol, shown_by: shown.first().copied() };
    Manifest {
        schema: SCHEMA,
        name: request.name.clone(),
        module_sha256: None,
        replace: request.replace,
        replace_set: registration.replace_set,
        target: TargetFacts {
            name: target.name.clone(),
            arch: target.arch.clone(),
            release: target.release.clone(),
            version: target.version.clone(),
            build_id: target.build_id.clone(),
        },
        stream: request.stream.as_ref().map(|s| s.facts.clone()),
        fixes: found.fixes.to_vec(),
        units: all_units(changed, found),
        livepatch_symbols: livepatch_symbols.into_iter().map(strongest).collect(),
        allowed_unproven: proven.unproven().to_vec(),
        livepatch_relocations: found.livepatch.relocations,
        audit: None,
        callbacks: registration.callback_facts(),
        states: registration.states.clone(),
        hooks_file: None,
        exports: resolved.exports.clone(),
        warnings: changed.changes.iter().flat_map(diff::warnings::warnings).collect(),
        allowed_layouts: request.allow_layout.iter().cloned().collect(),
        notes: changed.tree.notes.iter().chain(&changed.affected.notes).cloned().collect(),
        tools,
    }
}
