// SPDX-License-Identifier: GPL-2.0-or-later
//! Functions that the patched code refers to, in units that the fix does not reach: a name and a place in; a proof, or
//! the reason why there is none, out. The unit that defines the function is searched for and compiled as it was
//! shipped.

use super::all_units::{self, prove_unit, Against};
use super::explain::Evidence;
use super::rebuild::rebuild;
use super::Verdict;
use crate::elf::read::{read, Take};
use crate::elf::{SymKind, Symbol};
use crate::image::shipped::Spot;
use crate::image::Image;
use crate::progress;
use crate::reach::affected;
use crate::reach::definitions::Definitions;
use crate::session::Session;
use crate::target::kbuild::Unit;
use anyhow::Result;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A function to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, a global one.
    pub name: String,
    /// The module it is in; None for vmlinux.
    pub module: Option<String>,
    /// Where the shipped kernel has it.
    pub at: Spot,
    /// The file that refers to it.
    pub near: String,
}

/// What came of that.
pub enum Answer {
    /// It is in the shipped kernel as it was rebuilt.
    Proven,
    /// It was not found there, and why.
    Unproven(String),
}

/// More files than this are not tried: each is a run of the compiler.
const MOST_FILES: usize = 6;

/// Neighbours in the image on either side that are asked where they come from.
const NEIGHBOURS: usize = 6;

/// Who finds and compiles other units.
pub struct OtherUnits<'a> {
    /// The kernel.
    pub session: &'a Session,
    /// A folder for objects.
    pub work: &'a Path,
    /// Evidence for causes, once it was asked for.
    evidence: OnceCell<Evidence>,
}

impl<'a> OtherUnits<'a> {
    /// For one kernel; objects pass through the folder `work`.
    pub fn new(session: &'a Session, work: &'a Path) -> Self {
        Self { session, work, evidence: OnceCell::new() }
    }

    /// Evidence for one cause or another where code is not proven.
    pub fn evidence(&self, image: &Image) -> &Evidence {
        self.evidence.get_or_init(|| Evidence::of(self.session.target(), image))
    }

    /// Proves one function.
    ///
    /// # Errors
    /// A tree or a disk that cannot be read.
    pub fn prove(&self, wanted: &Wanted, against: &Against<'_>) -> Result<Answer> {
        let step = progress::step(format!("proving {}, which the patched code refers to", wanted.name));
        let definitions = self.session.definitions()?;
        let mut why = "no C file was found that defines it in this kernel".to_string();
        let mut files = definitions.files(&wanted.name, &wanted.near);
        files.truncate(MOST_FILES);
        for round in 0..2 {
            if round == 1 {
                // A macro makes the name: its neighbours come from the same file.
                let tried = std::mem::take(&mut files);
                files = by_neighbours(wanted, against, definitions);
                files.retain(|f| !tried.contains(f));
                files.truncate(MOST_FILES);
            }
            for file in &files {
                for unit in
                    affected::reached_by_one(self.session.target(), file)?.iter().filter(|u| u.module == wanted.module)
                {
                    match self.in_unit(unit, wanted, against)? {
                        Found::Undefined | Found::Unlike(None) => {}
                        Found::Proven => {
                            step.done(&unit.source);
                            return Ok(Answer::Proven);
                        }
                        Found::Unlike(Some(reason)) => why = reason,
                    }
                }
            }
        }
        step.done(&why);
        Ok(Answer::Unproven(why))
    }

    /// What the unit, compiled as it was shipped, is to the function that is wanted.
    fn in_unit(&self, unit: &Unit, wanted: &Wanted, against: &Against<'_>) -> Result<Found> {
        let mut found = Found::Undefined;
        rebuild(self.session.target(), &[unit], None, self.work, &mut |_, objects| {
            for (_, object) in objects {
                found = compare(unit, object, wanted, against)?;
            }
            Ok(if matches!(found, Found::Unlike(_)) { BTreeSet::from([0]) } else { BTreeSet::new() })
        })?;
        Ok(found)
    }
}

/// What a unit is to a function that is wanted.
enum Found {
    /// It does not define it.
    Undefined,
    /// It defines it, and the shipped kernel has it at the place.
    Proven,
    /// It defines one that is not that of the shipped kernel; why, if that is known.
    Unlike(Option<String>),
}

fn compare(unit: &Unit, object: &[u8], wanted: &Wanted, against: &Against<'_>) -> Result<Found> {
    let object = read(object, Take::NoDebug)?;
    let is_it = |s: &Symbol| s.name == wanted.name && !s.is_local() && s.kind == SymKind::Func && s.section().is_some();
    if !object.symbols.iter().any(is_it) {
        return Ok(Found::Undefined);
    }
    let proof = prove_unit(&object, unit.module.as_deref(), against.image, against.modules)?;
    Ok(match proof.functions.get(&wanted.name) {
        Some(Verdict::Proven(at)) if *at == wanted.at => Found::Proven,
        Some(Verdict::Proven(_)) => Found::Unlike(Some(format!("the one from {} is at another address", unit.source))),
        Some(Verdict::Differs { offset, why, .. }) => {
            let what = format!("{}, rebuilt, differs from it at byte {offset:#x}: {why}", unit.source);
            let shipped = all_units::shipped(unit.module.as_deref(), against.image, against.modules)?;
            Found::Unlike(Some(against.explain(&object, &proof, &wanted.name, shipped, what)))
        }
        None => Found::Unlike(None),
    })
}

/// The files that define most of the functions around the place.
fn by_neighbours(wanted: &Wanted, against: &Against<'_>, definitions: &Definitions) -> Vec<String> {
    let mut around: Vec<(u64, &str)> = match &wanted.module {
        None => {
            let symbols = against.image.kallsyms.symbols();
            let here = symbols.partition_point(|s| s.address < wanted.at.at);
            let near = here.saturating_sub(4 * NEIGHBOURS)..(here + 4 * NEIGHBOURS).min(symbols.len());
            symbols[near].iter().filter(|s| s.is_code()).map(|s| (s.address, s.name.as_str())).collect()
        }
        Some(name) => {
            let symbols = against.modules.get(name).map(|m| m.object.symbols.as_slice()).unwrap_or_default();
            let near = symbols.iter().filter(|s| s.section() == Some(wanted.at.space) && s.kind == SymKind::Func);
            near.map(|s| (s.value, s.name.as_str())).collect()
        }
    };
    around.sort_by_key(|(at, _)| at.abs_diff(wanted.at.at));
    around.truncate(2 * NEIGHBOURS);
    let mut votes: BTreeMap<String, usize> = BTreeMap::new();
    for (_, name) in around {
        let plain = name.split('.').next().unwrap_or(name);
        for file in definitions.files(plain, &wanted.near).into_iter().take(MOST_FILES) {
            *votes.entry(file).or_default() += 1;
        }
    }
    let mut files: Vec<(usize, String)> = votes.into_iter().map(|(file, n)| (n, file)).collect();
    files.sort_by_key(|(n, file)| (std::cmp::Reverse(*n), file.clone()));
    files.into_iter().filter(|(n, _)| *n > 1).map(|(_, file)| file).collect()
}
