// SPDX-License-Identifier: GPL-2.0-or-later
//! The pipeline from fixes to a live patch module. Each call is a stage and takes what the stage before it returned.

mod audit;
mod effect;
mod facts;
mod fixes;
mod label;
mod outcome;
mod request;
mod unit;
mod units;

use crate::audit::Shown;
use crate::compile;
use crate::diff::{ignore, patchability, renamed, ChangeSet};
use crate::elf::{self, Object};
use crate::emit::{self, KlpFunc, KlpObject, Registration};
use crate::error::{Ending, NothingChanged, Refusal, Refused};
use crate::explain;
use crate::extract::{self, Extract};
use crate::hooks::{self, Callbacks, Hooks};
use crate::image::module::Module;
use crate::image::symvers::Symvers;
use crate::image::Image;
use crate::manifest::FileFacts;
use crate::postlink::post_link;
use crate::prove::all_units::{self, prove_all, Claim, Unproven};
use crate::prove::other_units::OtherUnits;
use crate::prove::rebuild::{rebuild, Round};
use crate::reach::affected::{self, Affected};
use crate::reach::narrow::narrow;
use crate::reach::untraced;
use crate::resolve::overridden::{self, Kernel};
use crate::resolve::{self, KlpSymbol, World};
use crate::session::Session;
use crate::source::fixed::Fixed;
use crate::source::{self, Part, PatchedTree};
use crate::target::kbuild;
use crate::target::modules;
use crate::target::objtool;
use crate::target::Target;
use crate::{files, link, progress, types, verify};
use anyhow::{bail, Context, Result};
pub use label::{label, Label};
pub use outcome::{Outcome, Seen};
pub use request::{Labels, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use unit::{load, Changed, Compiled, Extracted, Proven, Resolved, Shelf};

/// What a build is made of, beside its units.
struct Build<'b> {
    session: &'b Session,
    request: &'b Request,
    parts: &'b [Part],
    tree: &'b PatchedTree,
    /// The lines that the fixes change.
    fixed: &'b Fixed,
    /// Touched files that this kernel does not contain, and why.
    absent: &'b BTreeMap<String, String>,
    affected: &'b Affected,
    image: &'b Image,
    symvers: &'b Symvers,
    work: &'b Path,
}

/// Builds a live patch. What is seen on the way is put into `seen`, of a build that is refused too.
///
/// # Errors
/// [`Refused`] where the fix cannot be live patched, [`NothingChanged`] where it compiles to the same code,
/// anything else with its context.
pub fn build(session: &Session, request: &Request, seen: &mut Seen) -> Result<Outcome> {
    build_and(session, request, seen, &mut |_, _| {})
}

/// The second reader, ready for a module of this build: its bytes in, what is shown of it out.
pub type Reader<'r> = dyn Fn(&[u8]) -> Result<Shown> + 'r;

/// As [`build`]; `also` gets the linked module before the second reader has seen it, and the reader.
///
/// # Errors
/// As [`build`].
pub fn build_and(
    session: &Session,
    request: &Request,
    seen: &mut Seen,
    also: &mut dyn FnMut(&[u8], &Reader<'_>),
) -> Result<Outcome> {
    emit::check_module_name(&request.name)?;
    let target = session.target();
    modules::check_free(target, &request.name)?;
    let hooks_file = request.hooks.as_deref().map(hooks::file::read).transpose()?;
    let work = files::work_dir()?;

    let parts = fixes::read(request)?;
    seen.fixes = parts.iter().map(|part| part.fix.clone()).collect();
    let tree = source::apply_parts(target, &parts, work.path())?;
    let mut absent = BTreeMap::new();
    let reached = affected(session, request, &tree, &mut absent, work.path());
    let narrowed = reached.and_then(|affected| narrow(target, &tree, affected, request.limit, work.path()));
    let mut affected = narrowed.inspect_err(|error| {
        if fixes::change_no_code(error) {
            seen.fixes = effect::without_code(&tree, &absent);
        }
    })?;
    let pairs = compile::compile(target, &tree, &affected.units, work.path())?;
    let fixed = Fixed::of(&tree, &target.tree_inside);
    let image = session.image(pairs.first().map(|pair| &pair.unit))?;
    let compiled = pairs.into_iter().map(Compiled::read).collect::<Result<Vec<_>>>()?;
    let shelf = Shelf::default();
    let mut units = units::with_changes(&compiled, &tree, image, &mut affected.notes)?;
    let symvers = session.symvers()?;
    units::settle(target, (&tree, &fixed), &mut units, image, &shelf, work.path())?;
    units::do_without(target, &tree, &mut units, (image, symvers), &shelf, work.path())?;

    // Report each fix that changes nothing in this kernel.
    let same = units.iter().filter(|u| !u.changes.is_any() && u.changes.left_out.is_empty());
    let notes = same.map(|u| format!("{} compiles to the same code with and without the fixes", u.source()));
    affected.notes.extend(notes);
    let started: Vec<String> = units.iter_mut().filter_map(|u| units::leave_out_started(u, &tree, &fixed)).collect();
    types::member::ask(target, &tree, units.iter_mut().map(|u| (&u.pair.unit, &mut u.changes)), work.path());
    types::renamed::ask(target, &tree, units.iter_mut().map(|u| (&u.pair.unit, &mut u.changes)), work.path())?;
    let all_has_run = !started.is_empty() && !units.iter().any(|u| u.changes.is_any());
    affected.notes.extend(started);
    let build = Build {
        session,
        request,
        parts: &parts,
        tree: &tree,
        fixed: &fixed,
        absent: &absent,
        affected: &affected,
        image,
        symvers,
        work: work.path(),
    };
    let mut result = match all_has_run {
        true => Err(NothingChanged::in_any_unit(&affected.notes).into()),
        false => carry_over(&build, &units, hooks_file, also),
    };
    match &mut result {
        Ok(outcome) => {
            seen.fixes.clone_from(&outcome.manifest.fixes);
            // Offers are not in the module, which does not depend on what messages say.
            outcome.manifest.notes.extend(parts.iter().filter_map(fixes::offer));
            seen.units.clone_from(&outcome.manifest.units);
        }
        Err(error) => match Ending::of(error) {
            Ending::Unchanged => {
                seen.fixes = effect::effects(&build, &units.iter().map(|unit| (unit, None)).collect::<Vec<_>>())?;
                return result;
            }
            Ending::Refused => seen.units = facts::unproven(&build, &units),
            _ => return result,
        },
    }
    seen.code = units.iter().flat_map(|u| explain::code(u.source(), &u.changes)).collect();
    result
}

/// The units that the fixes reach.
fn affected(
    session: &Session,
    request: &Request,
    tree: &PatchedTree,
    absent: &mut BTreeMap<String, String>,
    work: &Path,
) -> Result<Affected> {
    let target = session.target();
    let affected = affected::units(target, tree, request.limit, absent)
        .map_err(|error| types::spot_check::telling(error, target, tree, &request.allow_layout, work))?;
    types::spot_check::ask(target, tree, &affected, &request.allow_layout, work)?;
    let asked = untraced::asked(target, tree, &affected);
    if let Some(first) = asked.first() {
        untraced::ask(target, tree, &asked, &session.image(Some(first))?.layouts, work)?;
    }
    Ok(affected)
}

/// From the changes to the module.
fn carry_over<'u>(
    build: &Build<'_>,
    units: &'u [Changed<'u>],
    hooks_file: Option<hooks::file::HooksFile>,
    also: &mut dyn FnMut(&[u8], &Reader<'_>),
) -> Result<Outcome> {
    let Build { session, request, tree, fixed, image, symvers, work, .. } = *build;
    let target = session.target();
    let pairs: Vec<_> = units.iter().map(|u| (u.pair, &u.changes)).collect();
    let layouts = types::check::check(target, tree, &pairs, &request.allow_layout, work)?;
    let renamed = renamed::refusals(&units.iter().map(|u| (u.source(), &u.changes)).collect::<Vec<_>>());
    let known = [layouts, build.affected.refusals.clone(), exported_already(units, symvers), renamed].concat();
    let mut units = extract_all(units, known)?;
    let hooks = gather_hooks(target, &units, hooks_file.as_ref())?;
    let modules = load_modules(target, &units, symvers)?;
    let running = World { image, modules: &modules, symvers };
    let redefined = |u: &Extracted<'_>| resolve::definitions::refusals(u.module(), u.source(), &u.changes, &running);
    let files: Vec<_> = units.iter().map(|u| (u.source(), &u.changes)).collect();
    let moved = resolve::definitions::moved_variables(&files);
    refuse(units.iter().flat_map(redefined).chain(moved).collect())?;
    let kernel = Kernel { image, modules: &modules };
    refuse_overridden(session, &kernel, &units)?;
    for unit in &mut units {
        let (module, original) = (unit.module(), unit.original);
        overridden::settle(&kernel, (module, original), &mut unit.extract);
    }
    let mut every: Vec<_> = units.iter_mut().map(|u| (u.module(), &mut u.extract)).collect();
    resolve::pointers::settle(&mut every, symvers);
    let elsewhere = OtherUnits::new(session, work);
    let against = all_units::Against { image, modules: &modules, symvers, elsewhere: &elsewhere };
    let (units, unproven) = prove_units(request, units, &against)?;
    check_inlining(&units)?;
    let (mut units, references) = resolve_all(units, &running, &objtool::noreturns(target))?;
    let mut registration = register(build, &units, &modules)?;
    registration.replace_set = link::replace_set(target, request.replace)?;
    registration.hook(hooks, hooks_file.is_some());
    if registration.objects.is_empty() {
        return Err(
            NothingChanged("nothing to patch: the fix only adds code, and no running code uses it".into()).into()
        );
    }
    registration.wait_for(references.klp.values().filter_map(|klp| klp.needs.as_deref()));
    let source = emit::emit(&registration)?;
    let payloads = units.iter_mut().map(|u| &mut u.resolved.payload);
    payloads.filter(|p| p.arch.refers_by_section()).for_each(elf::refer::by_section);
    let payloads = units.iter().map(|u| elf::write::write(&u.resolved.payload)).collect::<Result<Vec<_>>>()?;
    let carried: Vec<effect::Carried<'_, '_>> =
        units.iter().map(|u| (&***u as &Changed<'_>, Some(&u.extract))).collect();
    let effects = effect::effects(build, &carried)?;
    let step = progress::step(format!("linking {}.ko", request.name));
    let undefined: Vec<&str> = references.klp.keys().map(String::as_str).collect();
    let linked = link::link(target, &request.name, &source, hooks_file.as_ref(), &payloads, &undefined)?;
    let livepatch = post_link(&linked, &references.klp)?;
    let found = facts::Found {
        fixes: &effects,
        units: &units,
        unproven: &unproven,
        registration: &registration,
        exports: &references.exports,
        livepatch: &livepatch,
    };
    let mut manifest = facts::manifest(build, &found);
    manifest.hooks_file = hooks_file.map(|h| FileFacts { file: h.file, sha256: h.sha256 });
    let linked = livepatch.clone().with_manifest(&manifest)?;
    let relocations = match manifest.livepatch_relocations {
        1 => "1 livepatch relocation".into(),
        n => format!("{n} livepatch relocations"),
    };
    step.done(&format!("{} bytes, {relocations}", linked.len()));
    let against = audit::Against { fixed, unproven: &unproven, image, modules: &modules, symvers };
    let read_again = |ko: &[u8]| audit::read_again(ko, &units, &against);
    also(&linked, &read_again);
    manifest.audit = Some(read_again(&linked)?);
    let module = livepatch.with_manifest(&manifest)?;
    manifest.module_sha256 = Some(files::sha256(&module));
    check(target, &module, image, &modules, symvers)?;
    Ok(Outcome { module, source, manifest })
}

/// The stages patchability and extract: every refusal of every unit is shown at once.
/// `refusals` are those that were found before.
fn extract_all<'u>(units: &'u [Changed<'u>], mut refusals: Vec<Refusal>) -> Result<Vec<Extracted<'u>>> {
    let mut extracted = Vec::new();
    for (n, unit) in units.iter().enumerate() {
        let macros = patchability::kpatch_macros(&unit.changes);
        let found = match patchability::check(&unit.changes).and_then(|p| extract::extract(p, &n.to_string())) {
            Ok(extract) => {
                extracted.push(Extracted::new(unit, extract));
                macros
            }
            Err(found) => [found, macros].concat(),
        };
        refusals.extend(found.into_iter().map(|r| in_file(r, unit.source())));
    }
    refuse(refusals)?;
    let left_out: Vec<_> = units.iter().flat_map(|u| &u.changes.left_out).collect();
    let none_is_changed = units.iter().all(|u| u.changes.functions.is_empty());
    match left_out.first() {
        _ if !none_is_changed => Ok(extracted),
        Some(first) => Err(Refused(vec![ignore::refusal(first.by, &left_out)]).into()),
        None => {
            let files: Vec<&str> = units.iter().map(Changed::source).collect();
            Err(NothingChanged(format!(
                "nothing to patch: with this kernel's config and compiler, {} compiles to the same code with and without the fix",
                files.join(", ")
            ))
            .into())
        }
    }
}

/// What the units and the hooks file want to be called.
fn gather_hooks(target: &Target, units: &[Extracted<'_>], file: Option<&hooks::file::HooksFile>) -> Result<Hooks> {
    let all: Vec<_> = units.iter().map(|u| (u.module(), u.source(), u.extract.callbacks.as_slice())).collect();
    let hooks = hooks::gather(&all, file).map_err(Refused)?;
    let named: Vec<&String> = hooks.callbacks.keys().flatten().collect();
    let unit_modules: Vec<&str> = all.iter().filter_map(|(module, ..)| *module).collect();
    // Those of units are there.
    if named.iter().all(|name| unit_modules.contains(&name.as_str())) {
        return Ok(hooks);
    }
    let shipped = modules::index(target)?;
    let unknown = named.into_iter().filter(|name| !shipped.contains_key(*name));
    refuse(unknown.map(|name| hooks::no_such_object(name, file)).collect())?;
    Ok(hooks)
}

/// Ends with refusals, if there are any.
fn refuse(refusals: Vec<Refusal>) -> Result<(), Refused> {
    match refusals.is_empty() {
        true => Ok(()),
        false => Err(Refused(refusals)),
    }
}

fn in_file(mut refusal: Refusal, file: &str) -> Refusal {
    refusal.section = if refusal.section.is_empty() { file.into() } else { format!("{file}, {}", refusal.section) };
    refusal
}

/// Each unit's module and extract.
fn extracts<'e>(units: &'e [Extracted<'_>]) -> Vec<(Option<&'e str>, &'e Extract)> {
    units.iter().map(|u| (u.module(), &u.extract)).collect()
}

fn load_modules(target: &Target, units: &[Extracted<'_>], symvers: &Symvers) -> Result<BTreeMap<String, Module>> {
    let pairs = extracts(units);
    let mut all = BTreeMap::new();
    for name in resolve::modules_needed(&pairs, symvers) {
        let module = modules::load(target, &name)?;
        all.insert(name, module);
    }
    for (own, other) in resolve::modules_used(&pairs, &all, symvers) {
        modules::load_between(target, &mut all, own, &other)?;
    }
    Ok(all)
}

/// Refuses functions that never run, since the kernel has another definition of the name.
fn refuse_overridden(session: &Session, kernel: &Kernel<'_>, units: &[Extracted<'_>]) -> Result<()> {
    let mut refusals = Vec::new();
    for unit in units {
        let source = unit.source();
        let mut files = |name: &str| {
            let mut files = session.definitions().map(|d| d.files(name, source)).unwrap_or_default();
            files.retain(|file| file != source);
            files.truncate(3);
            files
        };
        let found = overridden::refusals(kernel, (unit.module(), unit.original), &unit.extract, &mut files);
        refusals.extend(found.into_iter().map(|r| in_file(r, source)));
    }
    Ok(refuse(refusals)?)
}

/// Stage prove. What may lack a proof is let through only where a unit was compiled as kbuild does it.
fn prove_units<'u>(
    request: &Request,
    units: Vec<Extracted<'u>>,
    world: &all_units::Against<'_>,
) -> Result<(Vec<Proven<'u>>, Vec<Unproven>)> {
    let references = resolve::left_to_livepatch(&extracts(&units), world.symvers);
    let kbuild: Vec<&kbuild::Unit> = units.iter().map(|u| &u.pair.unit).collect();
    let known = units.iter().map(|u| u.pair.shipped.as_slice()).collect();
    let mut rebuilt: BTreeMap<usize, Object> = BTreeMap::new();
    let mut proven = None;
    rebuild(world.elsewhere.session.target(), &kbuild, Some(known), world.elsewhere.work, &mut |round, objects| {
        let (which, allowed) = match round {
            Round::First => ("as shipped", &BTreeSet::new()),
            Round::Last => ("as shipped, with debug information", &request.allow_unproven),
        };
        for &(n, object) in objects {
            rebuilt.insert(n, load(units[n].pair, object, which)?);
        }
        let all = units.iter().zip(rebuilt.values()).zip(&references);
        let claims: Vec<Claim<'_>> = all
            .map(|((unit, rebuilt), references)| Claim {
                source: unit.source(),
                module: unit.module(),
                rebuilt,
                changes: &unit.changes,
                references: references.clone(),
            })
            .collect();
        let tried = prove_all(&claims, world, allowed)?;
        let doubts = tried.doubts();
        proven = Some(tried);
        Ok(doubts)
    })?;
    let all_units::Proven { units: proofs, unproven } = proven.context("no unit was compared")?.proven()?;
    let unused = |name: &&String| !unproven.iter().any(|u| u.function == **name);
    // What a stream lets pass may be needed for another of its kernels.
    if let Some(name) = request.allow_unproven.iter().find(unused).filter(|_| request.stream.is_none()) {
        bail!("--allow-unproven {name} is not needed, because the function is proven or the patched code neither replaces nor uses it; leave the option out");
    }
    drop(references);
    let all = units.into_iter().zip(rebuilt.into_values()).zip(proofs);
    Ok((all.map(|((unit, rebuilt), proof)| Proven::new(unit, rebuilt, proof)).collect(), unproven))
}

/// What all units refer to together.
struct References {
    /// Livepatch symbols by their names in the payloads.
    klp: BTreeMap<String, KlpSymbol>,
    /// Exports.
    exports: Vec<String>,
}

fn resolve_all<'u>(
    units: Vec<Proven<'u>>,
    world: &World<'_>,
    noreturns: &BTreeSet<String>,
) -> Result<(Vec<Resolved<'u>>, References)> {
    let all: Vec<resolve::Unit<'_>> = units
        .iter()
        .map(|u| resolve::Unit {
            module: u.module(),
            extract: &u.extract,
            rebuilt: &u.rebuilt,
            proof: u.proof.proof(),
            made_public: made_public(&u.changes),
            new_exports: patchability::new_exports(&u.changes),
        })
        .collect();
    let resolve::Resolved { units: resolved, klp, exports } =
        resolve::resolve(&all, world, noreturns).map_err(Refused)?;
    drop(all);
    let units = units.into_iter().zip(resolved).map(|(unit, resolved)| Resolved::new(unit, resolved)).collect();
    Ok((units, References { klp, exports }))
}

/// Refuses where what is compared and what is proven differ in how functions are inlined.
fn check_inlining(units: &[Proven<'_>]) -> Result<()> {
    let mut refusals = Vec::new();
    for unit in units {
        let Changed { original, changes, .. } = &***unit;
        let originals = changes.functions.iter().filter_map(|f| f.original);
        let changed = originals.map(|item| changes.original.items[item].name.as_str()).collect();
        let found = crate::diff::inlined::check(original, &unit.rebuilt, &changed);
        refusals.extend(found.into_iter().map(|r| in_file(r, unit.source())));
    }
    Ok(refuse(refusals)?)
}

/// Names that a unit defines for itself alone before, and for others with the fixes.
fn made_public<'c>(changes: &'c ChangeSet<'_>) -> BTreeSet<&'c str> {
    let defined = |object: &'c Object, local: bool| {
        let symbols = object.symbols.iter().filter(move |s| s.section().is_some() && s.is_local() == local);
        symbols.map(|s| s.name.as_str()).collect::<BTreeSet<_>>()
    };
    &defined(changes.original.object, true) & &defined(changes.patched.object, false)
}

/// Exports that the fixes add and that the running kernel has elsewhere: modules outside of the fixes use that one.
fn exported_already(units: &[Changed<'_>], symvers: &Symvers) -> Vec<Refusal> {
    let mut found = Vec::new();
    for unit in units {
        for (name, export) in patchability::new_exports(&unit.changes).iter().filter_map(|n| Some((n, symvers.get(n)?)))
        {
            let home = export.module.as_deref().unwrap_or("vmlinux");
            let why = format!("the fix exports it here, and {home} of the running kernel exports a symbol of this name: modules still use that one");
            let hint = "keep the symbol and its export where they are";
            found.push(Refusal::new("export-added", name, unit.source(), why, hint));
        }
    }
    found
}

/// Groups the replaced functions by klp object, vmlinux first.
fn register(build: &Build<'_>, units: &[Resolved<'_>], modules: &BTreeMap<String, Module>) -> Result<Registration> {
    let Build { session, request, tree, image, .. } = *build;
    let mut objects: BTreeMap<Option<String>, Vec<KlpFunc>> = BTreeMap::new();
    for unit in units {
        for replaced in &unit.extract.replaced {
            let Some(spot) = unit.proof.place(&replaced.old_name) else {
                bail!("{} was not proven", replaced.old_name);
            };
            let sympos = match unit.module() {
                None => image.kallsyms.sympos(&replaced.old_name, spot.at),
                Some(name) => modules.get(name).and_then(|m| m.sympos(&replaced.old_name, spot)),
            };
            let sympos = sympos
                .with_context(|| format!("{} has no symbol of its own in the running kernel", replaced.old_name))?;
            objects.entry(unit.module().map(String::from)).or_default().push(KlpFunc {
                old_name: replaced.old_name.clone(),
                sympos,
                new_symbol: replaced.symbol.clone(),
                source: unit.source().into(),
            });
        }
    }
    Ok(Registration {
        module: request.name.clone(),
        replace: request.replace,
        replace_set: None,
        release: session.target().release.clone(),
        fixes: tree.fixes.iter().map(|f| f.title.clone()).collect(),
        objects: objects
            .into_iter()
            .map(|(module, funcs)| KlpObject { module, funcs, callbacks: Callbacks::new(), is_referred_to: false })
            .collect(),
        states: Vec::new(),
        hooks_file: false,
    })
}

fn check(
    target: &Target,
    module: &[u8],
    image: &Image,
    modules: &BTreeMap<String, Module>,
    symvers: &Symvers,
) -> Result<()> {
    let step = progress::step("reading the module as the kernel's loader will");
    let against = verify::Against { release: &target.release, build_id: &target.build_id, image, modules, symvers };
    let faults = verify::verify(module, &against)?;
    if !faults.is_empty() {
        bail!("the finished module is wrong; this is a bug in kmend, please report it:\n  {}", faults.join("\n  "));
    }
    step.done("");
    Ok(())
}
