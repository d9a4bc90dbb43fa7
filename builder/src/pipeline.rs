// SPDX-License-Identifier: GPL-2.0-or-later
//! The straight line from fixes to a live patch module. Each call is a stage and takes what the one before
//! it returned.

use crate::compile::narrow::{narrow, Limit};
use crate::compile::{self, again, ObjectPair};
use crate::diff::{self, patchability, ChangeSet};
use crate::elf::read::{read, Take};
use crate::elf::{self, Object};
use crate::emit::{self, KlpFunc, KlpObject, Registration};
use crate::error::{NothingChanged, Refusal, Refused};
use crate::explain::fixed::Fixed;
use crate::explain::{self, Cause, FunctionCode};
use crate::extract::{self, Extract};
use crate::hooks::{self, Callbacks, Hooks};
use crate::image::symvers::Symvers;
use crate::image::{modules, Image};
use crate::manifest::{FileFacts, FunctionFacts, Manifest, SymbolFacts, TargetFacts, UnitFacts, SCHEMA};
use crate::postlink::{post_link, Livepatch};
use crate::prove::elsewhere::Elsewhere;
use crate::prove::module::Module;
use crate::prove::stage::{self, prove_all, Claim, Proven, Shown};
use crate::prove::Verdict;
use crate::resolve::{self, Resolved, World};
use crate::source::affected::{self, Affected};
use crate::source::{self, PatchedTree};
use crate::target::Target;
use crate::{files, link, progress, types, verify};
use anyhow::{bail, Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What to build.
#[derive(Clone, Debug)]
pub struct Request {
    /// The kernel it is for.
    pub target: Target,
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
    /// Types whose layout may change.
    pub allow_layout: BTreeSet<String>,
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
    /// The code of all changed functions, before and after.
    pub code: Vec<FunctionCode>,
}

/// One unit with all that is known of it.
struct Unit {
    pair: ObjectPair,
    original: Object,
    patched: Object,
    /// Both, compiled to run in another module, where the architecture needs that.
    moved: Option<(Object, Object)>,
}

/// Builds a live patch.
///
/// # Errors
/// [`Refused`] where the fix cannot be live patched, [`NothingChanged`] where it compiles to the same code,
/// anything else with its context.
pub fn build(request: &Request) -> Result<Outcome> {
    emit::check_module_name(&request.name)?;
    let target = &request.target;
    let hooks_file = request.hooks.as_deref().map(hooks::file::read).transpose()?;
    let work = tempfile::Builder::new().prefix("kmend-").tempdir().context("cannot make a temporary folder")?;

    let tree = source::apply(target, &request.fixes, work.path())?;
    let affected = affected::units(target, &tree, request.limit)?;
    let mut affected = narrow(target, &tree, affected, request.limit, work.path())?;
    let units = compile_units(target, &tree, &affected, work.path())?;
    let image = load_image(target, &units)?;
    let mut units = with_changes(units, &tree, &image, &mut affected.notes)?;
    read_variables(target, &tree, &mut units, &image, work.path())?;
    let symvers = Symvers::load(&target.symvers)?;

    let changes = units.iter().map(|u| changes_of(u, &image)).collect::<Result<Vec<_>>>()?;
    let named: Vec<_> = units.iter().map(|u| &u.pair.unit).zip(&changes).collect();
    let layouts = types::stage::check(target, &tree, &named, &request.allow_layout, work.path())?;
    let extracts = extract_all(&units, &changes, layouts)?;
    let hooks = gather_hooks(target, &units, &extracts, hooks_file.as_ref())?;
    let modules = load_modules(target, &units, &extracts, &symvers)?;
    let mut shipped = units.iter().map(|u| load(&u.pair, &u.pair.shipped, "as shipped")).collect::<Result<Vec<_>>>()?;
    let elsewhere = Elsewhere::new(target, work.path());
    let world = stage::World { image: &image, modules: &modules, symvers: &symvers, elsewhere: &elsewhere };
    let proven = prove_units(request, &units, &mut shipped, &changes, &extracts, &world)?;
    let mut resolved = resolve_all(
        &units,
        &shipped,
        &extracts,
        &proven,
        &World { image: &image, modules: &modules, symvers: &symvers },
    )?;
    let mut registration = register(request, &tree, &units, &extracts, &proven, &image, &modules)?;
    registration.hook(hooks, hooks_file.is_some());
    let source = emit::emit(&registration)?;
    resolved.payloads.iter_mut().filter(|p| p.arch.refers_by_section()).for_each(elf::refer::by_section);
    let payloads = resolved.payloads.iter().map(elf::write::write).collect::<Result<Vec<_>>>()?;
    let causes = causes(target, &tree, &units, &changes, &image)?;
    let code = units.iter().zip(&changes).flat_map(|(u, c)| explain::code(&u.pair.unit.source, c)).collect();
    let step = progress::step(format!("linking {}.ko", request.name));
    let linked = link::link(target, &request.name, &source, hooks_file.as_ref(), &payloads)?;
    let livepatch = post_link(&linked, &resolved.klp)?;
    let mut manifest = describe(
        request,
        &tree,
        &affected,
        &units,
        &changes,
        &causes,
        &extracts,
        &proven,
        &registration,
        &resolved,
        &livepatch,
    );
    manifest.hooks_file = hooks_file.map(|h| FileFacts { file: h.file, sha256: h.sha256 });
    let module = livepatch.with_manifest(&manifest)?;
    manifest.module_sha256 = Some(files::sha256(&module));
    step.done(&format!("{} bytes, {} livepatch relocations", module.len(), manifest.livepatch_relocations));
    check(target, &module, &image, &modules, &symvers)?;
    Ok(Outcome { module, source, manifest, code })
}

fn compile_units(target: &Target, tree: &PatchedTree, affected: &Affected, work: &Path) -> Result<Vec<Unit>> {
    let pairs = compile::compile(target, tree, &affected.units, work)?;
    pairs
        .into_iter()
        .map(|pair| {
            let load = |bytes: &[u8], which: &str| load(&pair, bytes, which);
            let (original, patched) = (load(&pair.original, "original")?, load(&pair.patched, "patched")?);
            let moved = match &pair.moved {
                Some(m) => {
                    Some((load(&m.original, "original, to be moved")?, load(&m.patched, "patched, to be moved")?))
                }
                None => None,
            };
            Ok(Unit { pair, original, patched, moved })
        })
        .collect()
}

/// Leaves out the units that a changed header reaches and that compile to the same code all the same; what
/// nobody changed has nothing to prove. One stays in any case.
fn with_changes(units: Vec<Unit>, tree: &PatchedTree, image: &Image, notes: &mut Vec<String>) -> Result<Vec<Unit>> {
    let mut kept = Vec::new();
    let mut same = Vec::new();
    for unit in units {
        let touched = tree.files.contains_key(&unit.pair.unit.source);
        if touched || changes_of(&unit, image)?.is_any() {
            kept.push(unit);
        } else {
            same.push(unit);
        }
    }
    if kept.is_empty() {
        kept.extend(same.pop());
    }
    if !same.is_empty() {
        notes.push(format!("{} compile to the same code with and without the fix", compile::count(same.len())));
    }
    Ok(kept)
}

fn load(pair: &ObjectPair, bytes: &[u8], which: &str) -> Result<Object> {
    read(bytes, Take::NoDebug).with_context(|| format!("{} ({which})", pair.unit.object))
}

/// What the fix changes in a unit, in code that can run in the live patch.
fn changes_of<'u>(unit: &'u Unit, image: &Image) -> Result<ChangeSet<'u>> {
    let changes = diff::diff(&unit.original, &unit.patched, &image.layouts)?;
    let Some((original, patched)) = &unit.moved else { return Ok(changes) };
    let mut moved = diff::diff(original, patched, &image.layouts)?;
    diff::moved::adopt(&mut moved, &changes);
    Ok(moved)
}

/// Which lines of the fixes brought which change: for each unit, by the name of the patched function.
fn causes(
    target: &Target,
    tree: &PatchedTree,
    units: &[Unit],
    changes: &[ChangeSet<'_>],
    image: &Image,
) -> Result<Vec<BTreeMap<String, Vec<Cause>>>> {
    let fixed = Fixed::of(tree, &target.tree_inside);
    let source = |file: &str| files::read_text(&target.tree.join(file)).ok();
    let of_unit = |(unit, changes): (&Unit, &ChangeSet<'_>)| {
        let (original, patched) = (&unit.pair.original, &unit.pair.patched);
        if unit.moved.is_none() {
            return Ok(explain::causes(original, patched, changes, Some(&fixed), &source));
        }
        // Code that moves has no line tables.
        let kernel = diff::diff(&unit.original, &unit.patched, &image.layouts)?;
        Ok(explain::causes(original, patched, &kernel, Some(&fixed), &source))
    };
    units.iter().zip(changes).map(of_unit).collect()
}

/// Units of vmlinux with code that the kernel changes at boot get a pair of objects that do without.
fn read_variables(target: &Target, tree: &PatchedTree, units: &mut [Unit], image: &Image, work: &Path) -> Result<()> {
    if !again::fallback(target) {
        return Ok(());
    }
    let mut concerned = Vec::new();
    for (i, unit) in units.iter().enumerate().filter(|(_, u)| u.moved.is_none() && u.pair.unit.module.is_none()) {
        if patchability::is_changed_at_boot(&diff::diff(&unit.original, &unit.patched, &image.layouts)?) {
            concerned.push(i);
        }
    }
    if concerned.is_empty() {
        return Ok(());
    }
    let named: Vec<&compile::Unit> = concerned.iter().map(|&i| &units[i].pair.unit).collect();
    let objects = again::again(target, tree, &named, again::How::ReadsVariables, work)?;
    for (i, (original, patched)) in concerned.into_iter().zip(objects) {
        let load = |bytes: &[u8]| load(&units[i].pair, bytes, "without code that is changed at boot");
        units[i].moved = Some((load(&original)?, load(&patched)?));
    }
    Ok(())
}

fn load_image(target: &Target, units: &[Unit]) -> Result<Image> {
    let step = progress::step("reading the shipped kernel image");
    let image = compile::probe::image(target, units.first().map(|u| &u.pair.unit))?;
    step.done(&format!("{} symbols", image.kallsyms.symbols().len()));
    Ok(image)
}

/// The stages patchability and extract: every refusal of every unit is shown at once.
/// `refusals` are those that were found before.
fn extract_all(units: &[Unit], changes: &[ChangeSet<'_>], mut refusals: Vec<Refusal>) -> Result<Vec<Extract>> {
    let mut extracts = Vec::new();
    for (n, (unit, changes)) in units.iter().zip(changes).enumerate() {
        let callbacks = patchability::kpatch_callbacks(changes);
        let found = match patchability::check(changes).and_then(|p| extract::extract(p, &n.to_string())) {
            Ok(extract) => {
                extracts.push(extract);
                callbacks
            }
            Err(found) => [found, callbacks].concat(),
        };
        refusals.extend(found.into_iter().map(|r| in_file(r, &unit.pair.unit.source)));
    }
    if !refusals.is_empty() {
        return Err(Refused(refusals).into());
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
    resolve::modules_needed(&pairs, symvers)
        .into_iter()
        .map(|name| Ok((name.clone(), modules::load(target, &name)?)))
        .collect()
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
    let proven = match claim(shipped, &BTreeSet::new()) {
        Ok(proven) => proven,
        Err(error) => {
            let refused = error.downcast::<Refused>()?;
            let in_doubt = |u: &Unit| refused.0.iter().any(|r| r.section == u.pair.unit.source);
            let again: Vec<usize> = (0..units.len()).filter(|&i| in_doubt(&units[i])).collect();
            let named: Vec<&compile::Unit> = again.iter().map(|&i| &units[i].pair.unit).collect();
            for (i, object) in again.into_iter().zip(compile::compile_shipped(target, &named, true, work)?) {
                shipped[i] = load(&units[i].pair, &object, "as shipped, with debug information")?;
            }
            claim(shipped, &request.allow_unproven)?
        }
    };
    let unused = |name: &&String| !proven.unproven().iter().any(|u| u.function == **name);
    if let Some(name) = request.allow_unproven.iter().find(unused) {
        bail!("--allow-unproven {name} is not needed: either it is proven, or the patched code neither replaces nor uses it; leave it out");
    }
    Ok(proven)
}

fn resolve_all(
    units: &[Unit],
    shipped: &[Object],
    extracts: &[Extract],
    proven: &Proven,
    world: &World<'_>,
) -> Result<Resolved> {
    let all: Vec<resolve::Unit<'_>> = units
        .iter()
        .zip(shipped)
        .zip(extracts)
        .zip(proven.proofs())
        .map(|(((u, shipped), extract), proof)| resolve::Unit {
            module: u.pair.unit.module.as_deref(),
            extract,
            shipped,
            proof,
        })
        .collect();
    Ok(resolve::resolve(&all, world).map_err(Refused)?)
}

/// Groups the replaced functions by klp object, vmlinux first.
#[allow(clippy::too_many_arguments)]
fn register(
    request: &Request,
    tree: &PatchedTree,
    units: &[Unit],
    extracts: &[Extract],
    proven: &Proven,
    image: &Image,
    modules: &BTreeMap<String, Module>,
) -> Result<Registration> {
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
        release: request.target.release.clone(),
        fixes: tree.fixes.iter().map(|f| f.title.clone()).collect(),
        objects: objects
            .into_iter()
            .map(|(module, funcs)| KlpObject { module, funcs, callbacks: Callbacks::new() })
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
        bail!("the finished module is wrong; this is a fault in kmend, please report it:\n  {}", faults.join("\n  "));
    }
    step.done("");
    Ok(())
}

/// `uname -m` of the machine that this program was compiled for.
fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    }
}

#[allow(clippy::too_many_arguments)]
fn describe(
    request: &Request,
    tree: &PatchedTree,
    affected: &Affected,
    units: &[Unit],
    changes: &[ChangeSet<'_>],
    causes: &[BTreeMap<String, Vec<Cause>>],
    extracts: &[Extract],
    proven: &Proven,
    registration: &Registration,
    resolved: &Resolved,
    livepatch: &Livepatch,
) -> Manifest {
    let target = &request.target;
    let sympos = |unit: &compile::Unit, name: &str| {
        let source = &unit.source;
        registration
            .objects
            .iter()
            .filter(|o| o.module == unit.module)
            .flat_map(|o| &o.funcs)
            .find(|f| f.source == *source && f.old_name == name)
            .map(|f| f.sympos)
    };
    let units = units
        .iter()
        .zip(changes.iter().zip(causes))
        .zip(extracts.iter().zip(proven.proofs()))
        .map(|((unit, (changes, causes)), (extract, proof))| {
            let source = &unit.pair.unit.source;
            let functions = changes
                .functions
                .iter()
                .map(|f| {
                    let name = match f.original {
                        Some(o) => changes.original.items[o].name.clone(),
                        None => changes.patched.items[f.item].name.clone(),
                    };
                    let proven_at = match proof.functions.get(&name) {
                        Some(Verdict::Proven(spot)) if spot.space == 0 => Some(format!("{:#x}", spot.at)),
                        Some(Verdict::Proven(spot)) => Some(format!("section {}+{:#x}", spot.space, spot.at)),
                        _ => None,
                    };
                    FunctionFacts {
                        status: if f.original.is_some() { "changed" } else { "new" }.into(),
                        sympos: sympos(&unit.pair.unit, &name),
                        proven_at: proven_at.filter(|_| f.original.is_some()),
                        reasons: f.reasons.clone(),
                        causes: causes.get(&changes.patched.items[f.item].name).cloned().unwrap_or_default(),
                        name,
                    }
                })
                .collect();
            UnitFacts {
                source: source.clone(),
                object: unit.pair.unit.module.clone().unwrap_or_else(|| "vmlinux".into()),
                functions,
                data: extract.data.clone(),
                special_sections: extract.special.clone(),
                proven: proof.proven(),
                functions_total: proof.functions.len(),
            }
        })
        .collect();
    let mut tools = BTreeMap::from([
        ("kmend-build".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("cc".to_string(), target.cc.clone()),
        ("machine".to_string(), machine().to_string()),
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
        target: TargetFacts {
            name: target.name.clone(),
            arch: target.arch.clone(),
            release: target.release.clone(),
            version: target.version.clone(),
            build_id: target.build_id.clone(),
        },
        fixes: tree.fixes.clone(),
        units,
        livepatch_symbols: livepatch_symbols.into_iter().map(strongest).collect(),
        allowed_unproven: proven.unproven().to_vec(),
        livepatch_relocations: livepatch.relocations,
        callbacks: registration.callback_facts(),
        states: registration.states.clone(),
        hooks_file: None,
        exports: resolved.exports.clone(),
        warnings: changes.iter().flat_map(diff::warnings::warnings).collect(),
        allowed_layouts: request.allow_layout.iter().cloned().collect(),
        notes: tree.notes.iter().chain(&affected.notes).chain(&resolved.notes).cloned().collect(),
        tools,
    }
}
