// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage resolve: decides for everything that a payload refers to and does not hold how the module will
//! find it: an export, another payload, or a livepatch relocation with its sympos.

pub mod definitions;
pub mod late;
pub mod overridden;
pub mod places;
pub mod pointers;
mod provided;

use crate::elf::*;
use crate::error::Refusal;
use crate::extract::{External, Extract, Origin};
use crate::image::module::Module;
use crate::image::shipped::{Shipped, Spot};
use crate::image::symvers::{Export, Symvers};
use crate::image::Image;
use crate::prove::{Proof, Verdict};
use crate::target::modules;
use provided::Provided;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What objtool (since 6.19) takes off a name before it looks at it; such a symbol stands for a livepatch
/// symbol until the module is linked.
pub const TOMBSTONE: &str = ".klp.tombstone.";

/// A symbol that livepatch resolves when it applies the patch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KlpSymbol {
    /// The klp object whose arrival the relocation waits for: None for vmlinux.
    pub needs: Option<String>,
    /// The klp object that has the symbol: None for vmlinux.
    pub object: Option<String>,
    /// Its name there.
    pub name: String,
    /// Its position among its namesakes; 0 where it is unique.
    pub sympos: u64,
}

impl KlpSymbol {
    /// `.klp.sym.<object>.<name>,<sympos>` (Documentation/livepatch/module-elf-format.rst).
    pub fn elf_name(&self) -> String {
        format!(".klp.sym.{}.{},{}", self.object.as_deref().unwrap_or("vmlinux"), self.name, self.sympos)
    }
}

/// One unit on its way through this stage.
pub struct Unit<'a> {
    /// Module it belongs to; None for vmlinux.
    pub module: Option<&'a str>,
    /// Its extract.
    pub extract: &'a Extract,
    /// Its original, compiled with kbuild's flags.
    pub rebuilt: &'a Object,
    /// Its proof.
    pub proof: &'a Proof,
    /// Names of its own that were static and are not any more.
    pub made_public: BTreeSet<&'a str>,
    /// Names that the fixes export from it.
    pub new_exports: BTreeSet<String>,
}

/// The world that symbols are looked up in.
pub struct World<'a> {
    /// The shipped image.
    pub image: &'a Image,
    /// Shipped modules by name: those that are patched and those whose exports are used.
    pub modules: &'a BTreeMap<String, Module>,
    /// All exports.
    pub symvers: &'a Symvers,
}

/// Payload objects ready to link, with what post-link has to know.
#[derive(Debug, Default)]
pub struct Resolved {
    /// What came of each unit, in order.
    pub units: Vec<UnitResolved>,
    /// Livepatch symbols by their names in the payloads: with [`TOMBSTONE`] before it, or where objtool has to know it,
    /// its own.
    pub klp: BTreeMap<String, KlpSymbol>,
    /// Exported symbols that the module uses as any module does.
    pub exports: Vec<String>,
}

/// What came of one unit.
#[derive(Debug)]
pub struct UnitResolved {
    /// The payload, ready to link.
    pub payload: Object,
    /// The livepatch symbol for each name that it refers to and that livepatch finds.
    pub found: BTreeMap<String, KlpSymbol>,
}

/// Modules whose exports the units use, so that they have to be at hand for [`resolve`].
pub fn modules_needed(units: &[(Option<&str>, &Extract)], symvers: &Symvers) -> Vec<String> {
    let mut all: Vec<String> = units.iter().filter_map(|(m, _)| m.map(str::to_string)).collect();
    let used = units.iter().flat_map(|(_, e)| &e.externals).filter(|e| e.origin == Origin::OtherUnits);
    all.extend(used.filter_map(|e| exporter(&e.name, symvers)?.module.clone()));
    all.sort();
    all.dedup();
    all
}

/// The modules that are patched, each with another that has what the fix uses in it: as an export, in the payload of one
/// of its units, or as something that the fix exports.
pub fn modules_used<'m>(
    units: &[(Option<&'m str>, &'m Extract)],
    modules: &BTreeMap<String, Module>,
    symvers: &Symvers,
) -> BTreeSet<(&'m str, String)> {
    let provided = Provided::new(units.iter().copied());
    let mut found = BTreeSet::new();
    for (own, extract) in units.iter().filter_map(|(module, extract)| Some(((*module)?, extract))) {
        for name in extract.externals.iter().filter(|e| e.origin == Origin::OtherUnits).map(|e| &e.name) {
            let payload = provided.unit(Some(own), name, symvers).and_then(|n| provided.module(n));
            let export = exporter(name, symvers).and_then(|e| e.module.as_deref());
            let defined = |m: &&str| modules.get(*m).is_some_and(|m| m.named(name).next().is_some());
            let of_unit = || units.iter().filter_map(|(m, _)| *m).filter(defined);
            let others: Vec<&str> = match payload.or(export) {
                Some(other) => vec![other],
                None => of_unit().collect(),
            };
            found.extend(others.into_iter().filter(|o| *o != own).map(|other| (own, other.to_string())));
        }
    }
    found
}

/// The export by which a module may use `name`. Of a static call the trampoline alone may be exported; livepatch can
/// name the key itself.
fn exporter<'s>(name: &str, symvers: &'s Symvers) -> Option<&'s Export> {
    let trampoline = || symvers.get(&format!("{}{}", late::TRAMPOLINE, name.strip_prefix(late::KEY)?));
    symvers.get(name).or_else(trampoline)
}

/// The externals of each unit that livepatch has to find: neither the module loader nor another payload does.
pub fn left_to_livepatch<'e>(units: &[(Option<&str>, &'e Extract)], symvers: &Symvers) -> Vec<Vec<&'e External>> {
    let provided = Provided::new(units.iter().copied());
    let left = |(module, extract): &(Option<&str>, &'e Extract)| {
        extract.externals.iter().filter(|e| !is_found(*module, e, symvers, &provided)).collect()
    };
    units.iter().map(left).collect()
}

/// True where the module loader or another payload has the symbol.
fn is_found(module: Option<&str>, external: &External, symvers: &Symvers, provided: &Provided<'_>) -> bool {
    let name = &external.name;
    // A module's own exports are reached in the module itself, which may come later than the live patch.
    if matches!(external.origin, Origin::Running { .. }) {
        return false;
    }
    let is_own = module.is_some() && matches!(external.origin, Origin::Unit { .. });
    (external.origin == Origin::OtherUnits || matches!(external.origin, Origin::Unit { local: false, .. }))
        && (provided.unit(module, name, symvers).is_some() || (symvers.is_open(name) && !is_own))
}

/// Resolves all units. `noreturns` are the functions that objtool knows by name not to return.
///
/// # Errors
/// Symbols that are ambiguous, or that livepatch would resolve too late.
pub fn resolve(units: &[Unit<'_>], world: &World<'_>, noreturns: &BTreeSet<String>) -> Result<Resolved, Vec<Refusal>> {
    let provided = Provided::new(units.iter().map(|u| (u.module, u.extract)));
    let mut out = Resolved::default();
    let mut refusals = Vec::new();
    let objects = units.iter().map(|u| &u.extract.object);
    let defined = objects.flat_map(|o| o.symbols.iter().filter(|s| s.section().is_some()));
    let own: HashSet<&str> = defined.map(|s| s.name.as_str()).collect();
    for (n, unit) in units.iter().enumerate() {
        let mut object = unit.extract.object.clone();
        let late = late_symbols(unit, units, world, &provided);
        refusals.extend(late::refusals(&object, unit.module.unwrap_or(""), &late));
        let (mut known, mut found) = (BTreeMap::new(), BTreeMap::new());
        for external in &unit.extract.externals {
            match find(unit, external, units, world, &provided) {
                Ok(None) => {
                    if provided.unit(unit.module, &external.name, world.symvers).is_none() {
                        known.extend(places::of_export(&external.name, world).map(|p| (external.name.clone(), p)));
                    }
                    out.exports.push(external.name.clone());
                }
                Ok(Some(klp)) => {
                    known.extend(places::of_klp(&klp, world).map(|place| (external.name.clone(), place)));
                    found.insert(external.name.clone(), klp.clone());
                    let is_noreturn = noreturns.contains(&klp.name) && world.symvers.get(&klp.name).is_none();
                    rename(&mut object, &external.name, &stand_in(&mut out.klp, &own, klp.clone(), is_noreturn));
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        refusals.extend(places::refusals(&unit.extract.object, unit.rebuilt, &known, world));
        provided.keep_apart(n, &mut object, world.symvers);
        out.units.push(UnitResolved { payload: object, found });
    }
    out.exports.sort();
    out.exports.dedup();
    if refusals.is_empty() {
        Ok(out)
    } else {
        refusals.dedup();
        Err(refusals)
    }
}

/// The externals of a unit whose relocations wait for a module.
fn late_symbols(unit: &Unit<'_>, units: &[Unit<'_>], world: &World<'_>, provided: &Provided<'_>) -> HashSet<String> {
    let waits =
        |e: &&External| matches!(find(unit, e, units, world, provided), Ok(Some(KlpSymbol { needs: Some(_), .. })));
    unit.extract.externals.iter().filter(waits).map(|e| e.name.clone()).collect()
}

/// Where a name is that was static in one other unit of the same klp object, and that the fixes make public.
fn made_public(unit: &Unit<'_>, units: &[Unit<'_>], name: &str) -> Option<Spot> {
    let mut owners = units.iter().filter(|u| u.module == unit.module && u.made_public.contains(name));
    let owner = owners.next().filter(|_| owners.next().is_none())?;
    owner.proof.spot(owner.rebuilt, name)
}

/// Where a name is that one unit of another klp object has and that the fixes export: the module, None for vmlinux, and the
/// place.
fn newly_exported<'u>(units: &'u [Unit<'_>], name: &str) -> Option<(Option<&'u str>, Spot)> {
    let mut owners = units.iter().filter(|u| u.new_exports.contains(name));
    let owner = owners.next().filter(|_| owners.next().is_none())?;
    let spot = match owner.proof.functions.get(name) {
        Some(Verdict::Proven(spot)) => *spot,
        Some(Verdict::Differs { .. }) => return None,
        None => owner.proof.spot(owner.rebuilt, name)?,
    };
    Some((owner.module, spot))
}

/// Why code of `own` cannot use what is in the module `other`: this one may not be there yet, or not any more.
fn may_be_missing(own: Option<&str>, other: &str, world: &World<'_>) -> Option<String> {
    match own {
        None => Some(format!("it is in the module {other}, which may not be loaded: the code that uses it is in vmlinux")),
        Some(own) if own == other || modules::depends_on(world.modules, own, other) => None,
        Some(own) => Some(format!(
            "it is in the module {other}, which may not be loaded when {own} is: neither {own} nor a module that it depends on depends on it"
        )),
    }
}

/// How one external is found; None where the module loader does it.
fn find(
    unit: &Unit<'_>,
    external: &External,
    units: &[Unit<'_>],
    world: &World<'_>,
    provided: &Provided<'_>,
) -> Result<Option<KlpSymbol>, Refusal> {
    let name = external.means();
    let needs = unit.module.map(str::to_string);
    let unknown = |why: String, hint: &str| Refusal::new("unknown-symbol", name, "", why, hint);
    let hint = "use only what the module already uses, or what vmlinux exports";
    if is_found(unit.module, external, world.symvers, provided) {
        // What other code of the same live patch refers to may wait for its own module.
        let payload = provided.unit(unit.module, name, world.symvers).and_then(|n| provided.module(n));
        let other = payload.filter(|module| Some(*module) != unit.module);
        return match other.and_then(|other| may_be_missing(unit.module, other, world)) {
            None => Ok(None),
            Some(why) => Err(unknown(why, hint)),
        };
    }
    match unit.module {
        None => {
            // Of a weak name the kernel may have another definition than this unit.
            let own = unit.proof.spot(unit.rebuilt, name);
            let own =
                own.filter(|s| Shipped::is_named(world.image, name, *s) != crate::image::shipped::Named::OtherUnits);
            let place = own.or_else(|| {
                let mut globals = world.image.kallsyms.named(name).filter(|s| s.is_global());
                let first = globals.next()?;
                globals.next().is_none().then_some(Spot { space: 0, at: first.address })
            });
            let place = place.or_else(|| made_public(unit, units, name));
            let place = place.ok_or_else(|| {
                unknown(
                    "its address in the running kernel cannot be found in the shipped image".into(),
                    "check that the fix belongs to this kernel and that the symbol exists there",
                )
            })?;
            let sympos = world.image.kallsyms.sympos(name, place.at).ok_or_else(|| {
                unknown(
                    format!(
                        "the running kernel's kallsyms has no symbol of this name at {}",
                        world.image.describe(place)
                    ),
                    "livepatch cannot see the symbol; avoid it in the fix",
                )
            })?;
            Ok(Some(KlpSymbol { needs: None, object: None, name: name.into(), sympos }))
        }
        Some(own) => {
            if let Some(module) = world.modules.get(own) {
                let place = unit
                    .proof
                    .spot(unit.rebuilt, name)
                    .filter(|&s| Shipped::is_named(module, name, s) == crate::image::shipped::Named::Yes);
                let global = || {
                    let mut all = module.named(name).filter(|s| !s.is_local());
                    all.next().map(|s| Spot { space: s.section().unwrap_or(0), at: s.value })
                };
                let public = || {
                    made_public(unit, units, name)
                        .filter(|&s| Shipped::is_named(module, name, s) == crate::image::shipped::Named::Yes)
                };
                let is_foreign = match external.origin {
                    Origin::OtherUnits => true,
                    Origin::Running { .. } => !defines(unit.rebuilt, name),
                    Origin::Unit { .. } => false,
                };
                let place = if is_foreign { global().or_else(public) } else { place };
                if let Some(sympos) = place.and_then(|p| module.sympos(name, p)) {
                    return Ok(Some(KlpSymbol { needs, object: Some(own.into()), name: name.into(), sympos }));
                }
            }
            let Some(export) = exporter(name, world.symvers) else {
                let (other, spot) = newly_exported(units, name).ok_or_else(|| {
                    unknown(
                        format!("it is neither in the shipped module {own} nor exported by any other"),
                        "check that the fix belongs to this kernel",
                    )
                })?;
                if let Some(why) = other.and_then(|other| may_be_missing(Some(own), other, world)) {
                    return Err(unknown(why, hint));
                }
                let sympos = match other {
                    None => world.image.kallsyms.sympos(name, spot.at),
                    Some(other) => world.modules.get(other).and_then(|m| m.sympos(name, spot)),
                };
                let sympos = sympos.ok_or_else(|| {
                    unknown("the fix exports it, and it has no symbol of its own in the running kernel".into(), "")
                })?;
                let needs = other.and(needs);
                return Ok(Some(KlpSymbol { needs, object: other.map(str::to_string), name: name.into(), sympos }));
            };
            if let Some(why) = export.module.as_deref().and_then(|other| may_be_missing(Some(own), other, world)) {
                return Err(unknown(why, hint));
            }
            let sympos = match &export.module {
                None => world
                    .image
                    .kallsyms
                    .named(name)
                    .find(|s| s.is_global())
                    .and_then(|s| world.image.kallsyms.sympos(name, s.address)),
                Some(other) => world.modules.get(other).and_then(|m| {
                    let symbol = m.named(name).find(|s| !s.is_local())?;
                    m.sympos(name, Spot { space: symbol.section()?, at: symbol.value })
                }),
            };
            let sympos =
                sympos.ok_or_else(|| unknown("it is exported but not in the exporter's symbol table".into(), ""))?;
            let needs = if export.module.is_none() { None } else { needs };
            Ok(Some(KlpSymbol { needs, object: export.module.clone(), name: name.into(), sympos }))
        }
    }
}

fn defines(object: &Object, name: &str) -> bool {
    object.symbols.iter().any(|s| s.name == name && s.section().is_some())
}

/// The name of a livepatch symbol in the payloads. objtool takes the prefix off: without it the name must not be one of
/// the payloads' `own`, whose cold parts it would give to the running kernel's function.
///
/// A function that objtool knows by its name not to return keeps it where nothing else has it. Under another objtool would take
/// the code behind the call for what runs next, and complain where the stack is another there.
fn stand_in(
    klp: &mut BTreeMap<String, KlpSymbol>,
    own: &HashSet<&str>,
    symbol: KlpSymbol,
    is_noreturn: bool,
) -> String {
    if is_noreturn && !own.contains(&*symbol.name) && klp.get(&symbol.name).is_none_or(|known| *known == symbol) {
        let name = symbol.name.clone();
        klp.insert(name.clone(), symbol);
        return name;
    }
    let mut name = format!("{TOMBSTONE}{}", symbol.name);
    let mut n = 0;
    while own.contains(&name[TOMBSTONE.len()..]) || klp.get(&name).is_some_and(|known| *known != symbol) {
        n += 1;
        name = format!("{TOMBSTONE}{}.kmend{n}", symbol.name);
    }
    klp.insert(name.clone(), symbol);
    name
}

fn rename(object: &mut Object, from: &str, to: &str) {
    for symbol in object.symbols.iter_mut().filter(|s| s.is_undefined() && s.name == from) {
        symbol.name = to.into();
        // Up to Linux 6.3 objtool asks no weak symbol whether it returns.
        symbol.bind = if to.starts_with(TOMBSTONE) { Bind::Weak } else { Bind::Global };
    }
}
