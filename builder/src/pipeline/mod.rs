// SPDX-License-Identifier: GPL-2.0-or-later
//! The straight line from fixes to a live patch module. Each call is a stage and takes what the one before
//! it returned.

mod effect;
mod facts;
mod fixes;
mod label;
mod second;
mod units;

use crate::audit::Shown;
use crate::compile;
use crate::diff::{ignore, patchability, ChangeSet};
use crate::elf::{self, Object};
use crate::emit::{self, KlpFunc, KlpObject, Registration};
use crate::error::{NothingChanged, Refusal, Refused};
use crate::explain::{self, FunctionCode};
use crate::extract::{self, Extract};
use crate::hooks::{self, Callbacks, Hooks};
use crate::image::module::Module;
use crate::image::symvers::Symvers;
use crate::image::Image;
use crate::manifest::{FileFacts, Manifest, StreamFacts, UnitFacts};
use crate::postlink::post_link;
use crate::prove::elsewhere::Elsewhere;
use crate::prove::stage::{self, prove_all, Claim, Proven, Tried};
use crate::reach::affected::{self, Affected};
use crate::reach::definitions::Definitions;
use crate::reach::limit::Limit;
use crate::reach::narrow::narrow;
use crate::reach::untraced;
use crate::resolve::overridden::{self, Kernel};
use crate::resolve::{self, Resolved, World};
use crate::source::fixed::Fixed;
use crate::source::{self, Fix, Part, PatchedTree};
use crate::target::kbuild;
use crate::target::modules;
use crate::target::objtool;
use crate::target::Target;
use crate::{files, link, progress, types, verify};
use anyhow::{bail, Context, Result};
pub use label::{label, Label};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use units::{changes_of, compile_units, load, Unit};

/// What to build.
#[derive(Clone)]
pub struct Request {
    /// The kernel it is for.
    pub target: Target,
    /// Its shipped image, where it was read already ([`image`]).
    pub image: Option<Arc<Image>>,
    /// Name of the module.
    pub name: String,
    /// The fixes, in order.
    pub fixes: Vec<PathBuf>,
    /// The hooks file.
    pub hooks: Option<PathBuf>,
    /// Atomic replace.
    pub replace: bool,
    /// How many units the fixes may reach.
    pub limit: Limit,
    /// Functions that may lack a proof.
    pub allow_unproven: BTreeSet<String>,
    /// Types whose layout, and variables whose type may change.
    pub allow_layout: BTreeSet<String>,
    /// What the stream says of it, where it is a version of one.
    pub stream: Option<Labels>,
}

/// What a stream says of one of its versions.
#[derive(Clone, Debug)]
pub struct Labels {
    /// Of the whole.
    pub facts: StreamFacts,
    /// Of each fix.
    pub fixes: Vec<Label>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// NAME.ko
    pub module: Vec<u8>,
    /// NAME.rs
    pub source: String,
    /// NAME.json
    pub manifest: Manifest,
}

/// What a build saw on its way, whatever came of it in the end.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The fixes. What each of them does to the kernel is said of a build that was finished or that found nothing to do.
    pub fixes: Vec<Fix>,
    /// The units with their changes. Of a build that was refused, nothing is said of proofs and positions.
    pub units: Vec<UnitFacts>,
    /// The code of all changed functions, before and after.
    pub code: Vec<FunctionCode>,
}

/// What the fixes change: what the stages after `diff` start from.
struct Changed<'u> {
    parts: &'u [Part],
    tree: &'u PatchedTree,
    /// Touched files that this kernel does not contain, and why.
    absent: &'u BTreeMap<String, String>,
    affected: &'u Affected,
    units: &'u [Unit],
    /// One for each unit.
    changes: Vec<ChangeSet<'u>>,
    image: &'u Image,
    symvers: &'u Symvers,
}

/// Builds a live patch. What is seen on the way is put into `seen`, of a build that is refused too.
///
/// # Errors
/// [`Refused`] where the fix cannot be live patched, [`NothingChanged`] where it compiles to the same code,
/// anything else with its context.
pub fn build(request: &Request, seen: &mut Seen) -> Result<Outcome> {
    build_and(request, seen, &mut |_, _| {})
}

/// The second reader, ready for a module of this build: its bytes in, what is shown of it out.
pub type Reader<'r> = dyn Fn(&[u8]) -> Result<Shown> + 'r;

/// As [`build`]; `also` gets the linked module before the second reader has seen it, and the reader.
///
/// # Errors
/// As [`build`].
pub fn build_and(request: &Request, seen: &mut Seen, also: &mut dyn FnMut(&[u8], &Reader<'_>)) -> Result<Outcome> {
    emit::check_module_name(&request.name)?;
    let target = &request.target;
    modules::check_free(target, &request.name)?;
    let hooks_file = request.hooks.as_deref().map(hooks::file::read).transpose()?;
    let work = files::work_dir()?;

    let parts = fixes::read(request)?;
    seen.fixes = parts.iter().map(|part| part.fix.clone()).collect();
    let tree = source::apply_parts(target, &parts, work.path())?;
    let mut absent = BTreeMap::new();
    let mut known = request.image.clone();
    let reached = affected(request, &tree, &mut absent, &mut known, work.path());
    let narrowed = reached.and_then(|affected| narrow(target, &tree, affected, request.limit, work.path()));
    let mut affected = narrowed.inspect_err(|error| {
        if fixes::change_no_code(error) {
            seen.fixes = effect::without_code(&tree, &absent);
        }
    })?;
    let units = compile_units(target, &tree, &affected, work.path())?;
    let image = match known {
        Some(image) => image,
        None => image(target, units.first().map(|u| &u.pair.unit))?,
    };
    let mut units = units::with_changes(units, &tree, &image, &mut affected.notes)?;
    let symvers = Symvers::load(&target.symvers)?;
    units::settle(target, &tree, &mut units, &image, work.path())?;
    units::do_without(target, &tree, &mut units, &image, &symvers, work.path())?;

    let mut changes = units.iter().map(|u| changes_of(u, &image)).collect::<Result<Vec<_>>>()?;
    // Report each fix that changes nothing in this kernel.
    let same = units.iter().zip(&changes).filter(|(_, c)| !c.is_any() && c.left_out.is_empty());
    affected.notes.extend(
        same.map(|(u, _)| format!("{} compiles to the same code with and without the fixes", u.pair.unit.source)),
    );
    let started = units.iter().zip(&mut changes).filter_map(|(u, c)| units::leave_out_started(u, &tree, c));
    let started: Vec<String> = started.collect();
    types::member::ask(target, &tree, units.iter().map(|u| &u.pair.unit).zip(&mut changes), work.path());
    let all_has_run = !started.is_empty() && !changes.iter().any(ChangeSet::is_any);
    affected.notes.extend(started);
    let changed = Changed {
        parts: &parts,
        tree: &tree,
        absent: &absent,
        affected: &affected,
        units: &units,
        changes,
        image: &image,
        symvers: &symvers,
    };
    let mut result = match all_has_run {
        true => Err(NothingChanged::in_any_unit(&affected.notes).into()),
        false => carry_over(request, &changed, hooks_file, work.path(), also),
    };
    match &mut result {
        Ok(outcome) => {
            seen.fixes.clone_from(&outcome.manifest.fixes);
            // Offers are not in the module, which does not depend on what messages say.
            outcome.manifest.notes.extend(parts.iter().filter_map(fixes::offer));
        }
        Err(error) if error.is::<NothingChanged>() => {
            seen.fixes = effect::effects(target, &parts, &changed, &[], work.path())?;
            return result;
        }
        Err(error) if !error.is::<Refused>() => return result,
        Err(_) => {}
    }
    seen.code = changed.each().flat_map(|(u, c)| explain::code(&u.pair.unit.source, c)).collect();
    seen.units = match &result {
        Ok(outcome) => outcome.manifest.units.clone(),
        Err(_) => facts::unproven(target, &changed)?,
    };
    result
}

/// The units that the fixes reach. `known` is the shipped image, where it had to be read.
fn affected(
    request: &Request,
    tree: &PatchedTree,
    absent: &mut BTreeMap<String, String>,
    known: &mut Option<Arc<Image>>,
    work: &Path,
) -> Result<Affected> {
    let target = &request.target;
    let affected = affected::units(target, tree, request.limit, absent)
        .map_err(|error| types::far::telling(error, target, tree, &request.allow_layout, work))?;
    types::far::ask(target, tree, &affected, &request.allow_layout, work)?;
    let asked = untraced::asked(target, tree, &affected);
    if let Some(first) = asked.first() {
        let image = match known.take() {
            Some(image) => image,
            None => image(target, Some(first))?,
        };
        untraced::ask(target, tree, &asked, &known.insert(image).layouts, work)?;
    }
    Ok(affected)
}

/// From the changes to the module.
fn carry_over(
    request: &Request,
    changed: &Changed<'_>,
    hooks_file: Option<hooks::file::HooksFile>,
    work: &Path,
    also: &mut dyn FnMut(&[u8], &Reader<'_>),
) -> Result<Outcome> {
    let Changed { tree, units, image, symvers, .. } = *changed;
    let changes = changed.changes.as_slice();
    let target = &request.target;
    let pairs: Vec<_> = changed.each().map(|(u, c)| (&u.pair, c)).collect();
    let layouts = types::stage::check(target, tree, &pairs, &request.allow_layout, work)?;
    let known = [layouts, changed.affected.refusals.clone(), exported_already(units, changes, symvers)].concat();
    let mut extracts = extract_all(units, changes, known)?;
    let hooks = gather_hooks(target, units, &extracts, hooks_file.as_ref())?;
    let modules = load_modules(target, units, &extracts, symvers)?;
    let world = World { image, modules: &modules, symvers };
    let files: Vec<_> = changed.each().map(|(u, c)| (u.pair.unit.source.as_str(), c)).collect();
    let moved = resolve::definitions::moved_variables(&files);
    let redefined: Vec<Refusal> = changed
        .each()
        .flat_map(|(u, c)| {
            resolve::definitions::refusals(u.pair.unit.module.as_deref(), &u.pair.unit.source, c, &world)
        })
        .chain(moved)
        .collect();
    if !redefined.is_empty() {
        return Err(Refused(redefined).into());
    }
    let kernel = Kernel { image, modules: &modules };
    refuse_overridden(target, &kernel, units, &extracts)?;
    for (unit, extract) in units.iter().zip(&mut extracts) {
        overridden::settle(&kernel, (unit.pair.unit.module.as_deref(), &unit.original), extract);
    }
    let mut every: Vec<_> =
        units.iter().zip(&mut extracts).map(|(u, extract)| (u.pair.unit.module.as_deref(), extract)).collect();
    resolve::pointers::settle(&mut every, symvers);
    let mut shipped = units.iter().map(|u| load(&u.pair, &u.pair.shipped, "as shipped")).collect::<Result<Vec<_>>>()?;
    let elsewhere = Elsewhere::new(target, work);
    let world = stage::World { image, modules: &modules, symvers, elsewhere: &elsewhere };
    let proven = prove_units(request, units, &mut shipped, changes, &extracts, &world)?;
    check_inlining(units, &shipped, changes)?;
    let world = World { image, modules: &modules, symvers };
    let noreturns = objtool::noreturns(target);
    let mut resolved = resolve_all(units, changes, &shipped, &extracts, &proven, &world, &noreturns)?;
    let mut registration = register(request, changed, &extracts, &proven, &modules)?;
    registration.replace_set = link::replace_set(target, request.replace)?;
    registration.hook(hooks, hooks_file.is_some());
    if registration.objects.is_empty() {
        return Err(
            NothingChanged("nothing to patch: the fix only adds code, and no running code uses it".into()).into()
        );
    }
    registration.wait_for(resolved.klp.values().filter_map(|klp| klp.needs.as_deref()));
    let source = emit::emit(&registration)?;
    resolved.payloads.iter_mut().filter(|p| p.arch.refers_by_section()).for_each(elf::refer::by_section);
    let payloads = resolved.payloads.iter().map(elf::write::write).collect::<Result<Vec<_>>>()?;
    let fixed = Fixed::of(changed.tree, &target.tree_inside);
    let causes = units::causes(target, changed, &fixed)?;
    let effects = effect::effects(target, changed.parts, changed, &extracts, work)?;
    let step = progress::step(format!("linking {}.ko", request.name));
    let undefined: Vec<&str> = resolved.klp.keys().map(String::as_str).collect();
    let linked = link::link(target, &request.name, &source, hooks_file.as_ref(), &payloads, &undefined)?;
    let livepatch = post_link(&linked, &resolved.klp)?;
    let found = facts::Found {
        fixes: &effects,
        causes: &causes,
        extracts: &extracts,
        proven: &proven,
        registration: &registration,
        resolved: &resolved,
        livepatch: &livepatch,
    };
    let mut manifest = facts::manifest(request, changed, &found);
    manifest.hooks_file = hooks_file.map(|h| FileFacts { file: h.file, sha256: h.sha256 });
    let linked = livepatch.clone().with_manifest(&manifest)?;
    let relocations = match manifest.livepatch_relocations {
        1 => "1 livepatch relocation".into(),
        n => format!("{n} livepatch relocations"),
    };
    step.done(&format!("{} bytes, {relocations}", linked.len()));
    let against =
        second::Against { fixed: &fixed, shipped: &shipped, proven: &proven, image, modules: &modules, symvers };
    let read_again = |ko: &[u8]| second::read_again(ko, units, &against);
    also(&linked, &read_again);
    manifest.audit = Some(read_again(&linked)?);
    let module = livepatch.with_manifest(&manifest)?;
    manifest.module_sha256 = Some(files::sha256(&module));
    check(target, &module, image, &modules, symvers)?;
    Ok(Outcome { module, source, manifest })
}

impl<'u> Changed<'u> {
    /// Each unit with its changes.
    fn each(&self) -> impl Iterator<Item = (&'u Unit, &ChangeSet<'u>)> {
        self.units.iter().zip(&self.changes)
    }
}

/// Reads the shipped image of `target`; `unit` is any of its C units.
pub fn image(target: &Target, unit: Option<&kbuild::Unit>) -> Result<Arc<Image>> {
    let step = progress::step("reading the shipped kernel image");
    let image = compile::probe::image(target, unit)?;
    step.done(&format!("{} symbols", image.kallsyms.symbols().len()));
    Ok(Arc::new(image))
}

/// The stages patchability and extract: every refusal of every unit is shown at once.
/// `refusals` are those that were found before.
fn extract_all(units: &[Unit], changes: &[ChangeSet<'_>], mut refusals: Vec<Refusal>) -> Result<Vec<Extract>> {
    let mut extracts = Vec::new();
    for (n, (unit, changes)) in units.iter().zip(changes).enumerate() {
        let macros = patchability::kpatch_macros(changes);
        let found = match patchability::check(changes).and_then(|p| extract::extract(p, &n.to_string())) {
            Ok(extract) => {
                extracts.push(extract);
                macros
            }
            Err(found) => [found, macros].concat(),
        };
        refusals.extend(found.into_iter().map(|r| in_file(r, &unit.pair.unit.source)));
    }
    if !refusals.is_empty() {
        return Err(Refused(refusals).into());
    }
    let left_out: Vec<_> = changes.iter().flat_map(|c| &c.left_out).collect();
    if let (Some(first), true) = (left_out.first(), changes.iter().all(|c| c.functions.is_empty())) {
        return Err(Refused(vec![ignore::refusal(first.by, &left_out)]).into());
    }
    if changes.iter().all(|c| c.functions.is_empty()) {
        let files: Vec<&str> = units.iter().map(|u| u.pair.unit.source.as_str()).collect();
        return Err(NothingChanged(format!(
            "nothing to patch: with this kernel's config and compiler, {} compiles to the same code with and without the fix",
            files.join(", ")
        ))
        .into());
    }
    Ok(extracts)
}

/// What the units and the hooks file want to be called.
fn gather_hooks(
    target: &Target,
    units: &[Unit],
    extracts: &[Extract],
    file: Option<&hooks::file::HooksFile>,
) -> Result<Hooks> {
    let all: Vec<_> = units
        .iter()
        .zip(extracts)
        .map(|(u, e)| (u.pair.unit.module.as_deref(), u.pair.unit.source.as_str(), e.callbacks.as_slice()))
        .collect();
    let hooks = hooks::gather(&all, file).map_err(Refused)?;
    let named: Vec<&String> = hooks.callbacks.keys().flatten().collect();
    let unit_modules: Vec<&str> = all.iter().filter_map(|(module, ..)| *module).collect();
    // Those of units are there.
    if named.iter().all(|name| unit_modules.contains(&name.as_str())) {
        return Ok(hooks);
    }
    let shipped = modules::index(target)?;
    let unknown = named.into_iter().filter(|name| !shipped.contains_key(*name));
    let refusals: Vec<Refusal> = unknown.map(|name| hooks::no_such_object(name, file)).collect();
    if refusals.is_empty() {
        Ok(hooks)
    } else {
        Err(Refused(refusals).into())
    }
}

fn in_file(mut refusal: Refusal, file: &str) -> Refusal {
    refusal.section = if refusal.section.is_empty() { file.into() } else { format!("{file}, {}", refusal.section) };
    refusal
}

fn load_modules(
    target: &Target,
    units: &[Unit],
    extracts: &[Extract],
    symvers: &Symvers,
) -> Result<BTreeMap<String, Module>> {
    let pairs: Vec<(Option<&str>, &Extract)> =
        units.iter().zip(extracts).map(|(u, e)| (u.pair.unit.module.as_deref(), e)).collect();
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
fn refuse_overridden(target: &Target, kernel: &Kernel<'_>, units: &[Unit], extracts: &[Extract]) -> Result<()> {
    let mut refusals = Vec::new();
    let mut definitions = None;
    for (unit, extract) in units.iter().zip(extracts) {
        let Unit { pair, original, .. } = unit;
        let mut files = |name: &str| {
            let known = definitions.get_or_insert_with(|| Definitions::of(target).ok());
            let mut files = known.as_ref().map(|d| d.files(name, &pair.unit.source)).unwrap_or_default();
            files.retain(|file| *file != pair.unit.source);
            files.truncate(3);
            files
        };
        let found = overridden::refusals(kernel, (pair.unit.module.as_deref(), original), extract, &mut files);
        refusals.extend(found.into_iter().map(|r| in_file(r, &pair.unit.source)));
    }
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(Refused(refusals).into())
    }
}

/// Stage prove. A unit with functions in doubt is compiled once more with kbuild's own debug flags: in rare cases gcc
/// makes other code without debug information. What may lack a proof is let through only after that.
fn prove_units(
    request: &Request,
    units: &[Unit],
    shipped: &mut [Object],
    changes: &[ChangeSet<'_>],
    extracts: &[Extract],
    world: &stage::World<'_>,
) -> Result<Proven> {
    let (target, work) = (&request.target, world.elsewhere.work);
    let pairs: Vec<(Option<&str>, &Extract)> =
        units.iter().zip(extracts).map(|(u, e)| (u.pair.unit.module.as_deref(), e)).collect();
    let references = resolve::left_to_livepatch(&pairs, world.symvers);
    let claim = |shipped: &[Object], allowed: &BTreeSet<String>| {
        let claims: Vec<Claim<'_>> = units
            .iter()
            .zip(shipped)
            .zip(changes.iter().zip(&references))
            .map(|((u, shipped), (changes, references))| Claim {
                source: &u.pair.unit.source,
                module: u.pair.unit.module.as_deref(),
                shipped,
                changes,
                references: references.clone(),
            })
            .collect();
        prove_all(&claims, world, allowed)
    };
    let proven = match claim(shipped, &BTreeSet::new())? {
        Tried::Proven(proven) => proven,
        Tried::InDoubt(doubts) => {
            let again: BTreeSet<usize> = doubts.iter().map(|doubt| doubt.claim).collect();
            let named: Vec<&kbuild::Unit> = again.iter().map(|&i| &units[i].pair.unit).collect();
            for (i, object) in again.into_iter().zip(compile::compile_shipped(target, &named, true, work)?) {
                shipped[i] = load(&units[i].pair, &object, "as shipped, with debug information")?;
            }
            claim(shipped, &request.allow_unproven)?.proven()?
        }
    };
    let unused = |name: &&String| !proven.unproven().iter().any(|u| u.function == **name);
    // What a stream lets pass may be needed for another of its kernels.
    if let Some(name) = request.allow_unproven.iter().find(unused).filter(|_| request.stream.is_none()) {
        bail!("--allow-unproven {name} is not needed, because the function is proven or the patched code neither replaces nor uses it; leave the option out");
    }
    Ok(proven)
}

fn resolve_all(
    units: &[Unit],
    changes: &[ChangeSet<'_>],
    shipped: &[Object],
    extracts: &[Extract],
    proven: &Proven,
    world: &World<'_>,
    noreturns: &BTreeSet<String>,
) -> Result<Resolved> {
    let all: Vec<resolve::Unit<'_>> = units
        .iter()
        .zip(shipped)
        .zip(extracts)
        .zip(proven.proofs())
        .zip(changes)
        .map(|((((u, shipped), extract), proof), changes)| resolve::Unit {
            module: u.pair.unit.module.as_deref(),
            extract,
            shipped,
            proof,
            made_public: made_public(changes),
            new_exports: patchability::new_exports(changes),
        })
        .collect();
    Ok(resolve::resolve(&all, world, noreturns).map_err(Refused)?)
}

/// Refuses where what is compared and what is proven differ in how functions are inlined.
fn check_inlining(units: &[Unit], shipped: &[Object], changes: &[ChangeSet<'_>]) -> Result<()> {
    let mut refusals = Vec::new();
    for ((unit, shipped), changes) in units.iter().zip(shipped).zip(changes) {
        let originals = changes.functions.iter().filter_map(|f| f.original);
        let changed = originals.map(|item| changes.original.items[item].name.as_str()).collect();
        let found = crate::diff::inlined::check(&unit.original, shipped, &changed);
        refusals.extend(found.into_iter().map(|r| in_file(r, &unit.pair.unit.source)));
    }
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(Refused(refusals).into())
    }
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
fn exported_already(units: &[Unit], changes: &[ChangeSet<'_>], symvers: &Symvers) -> Vec<Refusal> {
    let mut found = Vec::new();
    for (unit, changes) in units.iter().zip(changes) {
        for (name, export) in patchability::new_exports(changes).iter().filter_map(|n| Some((n, symvers.get(n)?))) {
            let home = export.module.as_deref().unwrap_or("vmlinux");
            let why = format!("the fix exports it here, and {home} of the running kernel exports a symbol of this name: modules still use that one");
            let hint = "keep the symbol and its export where they are";
            found.push(Refusal::new("export-added", name, &unit.pair.unit.source, why, hint));
        }
    }
    found
}

/// Groups the replaced functions by klp object, vmlinux first.
fn register(
    request: &Request,
    changed: &Changed<'_>,
    extracts: &[Extract],
    proven: &Proven,
    modules: &BTreeMap<String, Module>,
) -> Result<Registration> {
    let Changed { tree, units, image, .. } = *changed;
    let mut objects: BTreeMap<Option<String>, Vec<KlpFunc>> = BTreeMap::new();
    for (n, (unit, extract)) in units.iter().zip(extracts).enumerate() {
        for replaced in &extract.replaced {
            let Some(spot) = proven.place(n, &replaced.old_name) else {
                bail!("{} was not proven", replaced.old_name);
            };
            let sympos = match &unit.pair.unit.module {
                None => image.kallsyms.sympos(&replaced.old_name, spot.at),
                Some(name) => modules.get(name).and_then(|m| m.sympos(&replaced.old_name, spot)),
            };
            let sympos = sympos
                .with_context(|| format!("{} has no symbol of its own in the running kernel", replaced.old_name))?;
            objects.entry(unit.pair.unit.module.clone()).or_default().push(KlpFunc {
                old_name: replaced.old_name.clone(),
                sympos,
                new_symbol: replaced.symbol.clone(),
                source: unit.pair.unit.source.clone(),
            });
        }
    }
    Ok(Registration {
        module: request.name.clone(),
        replace: request.replace,
        replace_set: None,
        release: request.target.release.clone(),
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
