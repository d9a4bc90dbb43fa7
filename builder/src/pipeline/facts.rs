// SPDX-License-Identifier: GPL-2.0-or-later
//! The results of a build, as facts: the stages' results in, the manifest out; and of a build that was refused, what is
//! known of the changes.

use super::unit::{Changed, Resolved};
use super::{units, Build};
use crate::diff::warnings::Warning;
use crate::diff::{self, patchability, ChangeSet, ChangedFunction};
use crate::emit::{KlpFunc, Registration};
use crate::image::symvers::Symvers;
use crate::manifest::{FunctionFacts, Manifest, SymbolFacts, TargetFacts, UnitFacts, SCHEMA};
use crate::postlink::Livepatch;
use crate::prove::all_units::{Shown, Unproven};
use crate::prove::{Proof, Verdict};
use crate::resolve;
use crate::source::fixed::Fixed;
use crate::source::Fix;
use crate::target::Target;
use std::collections::{BTreeMap, BTreeSet};

/// What the stages after `diff` found.
pub struct Found<'a> {
    /// The fixes, with what each of them does.
    pub fixes: &'a [Fix],
    /// The units.
    pub units: &'a [Resolved<'a>],
    /// What was let through without a proof.
    pub unproven: &'a [Unproven],
    /// The functions by klp object.
    pub registration: &'a Registration,
    /// The exports that the payloads use.
    pub exports: &'a [String],
    /// The module as it is linked.
    pub livepatch: &'a Livepatch,
}

/// The units of a build that came no further than its changes.
pub fn unproven(build: &Build<'_>, units: &[Changed<'_>]) -> Vec<UnitFacts> {
    let target = build.session.target();
    units.iter().map(|unit| changed(target, unit, build.fixed)).collect()
}

/// A unit as its changes tell of it.
fn changed(target: &Target, unit: &Changed<'_>, fixed: &Fixed) -> UnitFacts {
    let (changes, causes) = (&unit.changes, units::causes(target, unit, fixed));
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
        source: unit.source().into(),
        object: unit.module().unwrap_or("vmlinux").into(),
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

/// A unit with all that is known of it.
fn carried(build: &Build<'_>, unit: &Resolved<'_>, found: &Found<'_>) -> UnitFacts {
    let mut facts = changed(build.session.target(), unit, build.fixed);
    let objects = found.registration.objects.iter().filter(|o| o.module.as_deref() == unit.module());
    let mine: Vec<&KlpFunc> = objects.flat_map(|o| &o.funcs).filter(|f| f.source == facts.source).collect();
    locate(&mut facts, &unit.changes, unit.proof.proof(), &mine);
    facts.data = unit.extract.data.clone();
    facts.special_sections = unit.extract.special.clone();
    facts
}

/// What an author should know of, of each unit and between units.
fn warnings(units: &[Resolved<'_>], symvers: &Symvers) -> Vec<Warning> {
    let mut all: Vec<Warning> = units.iter().flat_map(|unit| diff::warnings::warnings(&unit.changes)).collect();
    let pairs: Vec<_> = units.iter().map(|unit| (unit.module(), &unit.extract)).collect();
    let between = resolve::pointers::new_callbacks(&pairs, symvers).into_iter();
    let is_new = |w: &Warning| !all.iter().any(|known| known.code == w.code && known.symbol == w.symbol);
    let between: Vec<Warning> = between.filter(is_new).collect();
    all.extend(between);
    all
}

/// The manifest of a module.
pub fn manifest(build: &Build<'_>, found: &Found<'_>) -> Manifest {
    let Build { session, request, tree, affected, .. } = *build;
    let Found { registration, units, .. } = *found;
    let target = session.target();
    let mut tools = BTreeMap::from([
        ("kmend-build".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("cc".to_string(), target.cc.clone()),
        ("machine".to_string(), kmend_shared::arch::host().to_string()),
    ]);
    tools.extend(target.rustc.clone().map(|rustc| ("rustc".to_string(), rustc)));
    let mut livepatch_symbols: BTreeMap<_, BTreeSet<Shown>> = BTreeMap::new();
    for unit in units {
        for (name, symbol) in &unit.resolved.found {
            livepatch_symbols.entry(symbol.clone()).or_default().extend(unit.proof.shown(name));
        }
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
        units: units.iter().map(|unit| carried(build, unit, found)).collect(),
        livepatch_symbols: livepatch_symbols.into_iter().map(strongest).collect(),
        allowed_unproven: found.unproven.to_vec(),
        livepatch_relocations: found.livepatch.relocations,
        audit: None,
        callbacks: registration.callback_facts(),
        states: registration.states.clone(),
        hooks_file: None,
        exports: found.exports.to_vec(),
        warnings: warnings(units, build.symvers),
        allowed_layouts: request.allow_layout.iter().cloned().collect(),
        notes: tree.notes.iter().chain(&affected.notes).cloned().collect(),
        tools,
    }
}
