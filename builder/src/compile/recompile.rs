// SPDX-License-Identifier: GPL-2.0-or-later
//! Compiles units once more, original and patched, for a question that few fixes raise: units, the patched files and
//! what to do differently in, pairs of objects out. They are cached like all objects (`cache.rs`).

use super::contents::Contents;
use super::{compile_one, explain, patched_sandbox, Place, Unit, Variant, Work, DEBUG, NO_DEBUG, SECTIONS};
use crate::arch::by_name;
use crate::compile::cache::Cache;
use crate::files;
use crate::parallel;
use crate::progress;
use crate::source::PatchedTree;
use crate::target::kbuild::count;
use crate::target::Target;
use anyhow::{anyhow, Context, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::SystemTime;

/// What is done differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With debug information, for what types look like.
    Types,
    /// Without code that the kernel changes at boot in its own image alone.
    ReadsVariables,
    /// With names in the references to variables of shared sections, instead of offsets in the section.
    NamesData,
    /// Static keys are read and static calls go where their keys lead at the moment, both without a site that the kernel
    /// changes: it changes those of a live patch when that is loaded, which may be before the module with the keys.
    ReadsKeys,
    /// With room for any distance in jumps between functions of one section.
    LongJumps,
}

impl How {
    /// Whether what is compiled this way becomes code of the live patch in the place of what is compared, so that its jumps
    /// have to reach the kernel.
    pub fn jumps_far(self) -> bool {
        matches!(self, How::ReadsVariables | How::ReadsKeys | How::LongJumps)
    }
}

/// The kernel has a form of asm/runtime-const.h for architectures that do not write values into their code: it reads
/// the variables. On x86_64 what is compiled for the kernel uses the other form, and a module cannot.
/// Pairs of files of the tree: the header, and what takes its place. Sources: arch/x86/include/asm/runtime-const.h,
/// include/asm-generic/runtime-const.h, from 6.11 on.
const FALLBACK: &[(&str, &str)] = &[("arch/x86/include/asm/runtime-const.h", "include/asm-generic/runtime-const.h")];

/// What is read behind headers of the tree for [`How::ReadsKeys`].
const BEHIND: &[(&str, &str)] = &[
    ("include/linux/jump_label.h", include_str!("../../../kmod/keys/jump_label.h")),
    ("include/linux/static_call_types.h", include_str!("../../../kmod/keys/static_call_types.h")),
];

/// Whether this can be done: the target has the headers that are laid over, and the fixes leave them alone.
pub fn is_possible(how: How, target: &Target, tree: &PatchedTree) -> bool {
    let there = |f: &str| target.tree.join(f).is_file() && !tree.files.contains_key(f);
    match how {
        How::Types | How::NamesData => true,
        How::LongJumps => by_name(&target.arch).is_ok_and(|arch| arch.long_jumps("").is_some()),
        How::ReadsVariables => FALLBACK.iter().all(|(header, instead)| there(header) && there(instead)),
        How::ReadsKeys => BEHIND.iter().all(|(header, _)| there(header)),
    }
}

/// The headers that take the place of others: path in the tree, and the file. New ones are written to `out`.
fn headers(how: How, target: &Target, out: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    match how {
        How::Types | How::NamesData | How::LongJumps => Ok(Vec::new()),
        How::ReadsVariables => {
            Ok(FALLBACK.iter().map(|(header, instead)| (*header, target.tree.join(instead))).collect())
        }
        How::ReadsKeys => BEHIND
            .iter()
            .map(|(header, more)| {
                let file = out.join(header.replace('/', "-"));
                files::write(&file, (files::read_text(&target.tree.join(header))? + more).as_bytes())?;
                Ok((*header, file))
            })
            .collect(),
    }
}

/// A pair of objects, original and patched.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Compiles each of `units` for [`How::NamesData`]: as the kernel is compiled, and to run in another module where that differs.
///
/// # Errors
/// What the compiler says.
pub fn naming_data(
    target: &Target,
    tree: &PatchedTree,
    units: &[&Unit],
    work: &Path,
) -> Result<Vec<(Pair, Option<Pair>)>> {
    let pairs = |moved| run(target, tree, units, How::NamesData, moved, work, |_, pair| Ok(pair));
    let plain = pairs(false)?;
    let moved = match by_name(&target.arch)?.transplant() {
        Some(_) => pairs(true)?.into_iter().map(Some).collect(),
        None => vec![None; units.len()],
    };
    Ok(plain.into_iter().zip(moved).collect())
}

/// Compiles each of `units` as it was and as the fixes leave it; the objects in the order of `units`. They can run in another
/// module, but for [`How::Types`].
///
/// # Errors
/// What the compiler says.
pub fn recompile(target: &Target, tree: &PatchedTree, units: &[&Unit], how: How, work: &Path) -> Result<Vec<Pair>> {
    run(target, tree, units, how, how != How::Types, work, |_, pair| Ok(pair))
}

/// What `look` makes of each pair of objects with debug information, in the order of `units`. The objects are large: as many are in
/// memory as are looked at side by side.
///
/// # Errors
/// What the compiler says, and those of `look`.
pub fn types<R: Send>(
    target: &Target,
    tree: &PatchedTree,
    units: &[&Unit],
    work: &Path,
    look: impl Fn(usize, Pair) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    run(target, tree, units, How::Types, false, work, look)
}

fn run<R: Send>(
    target: &Target,
    tree: &PatchedTree,
    units: &[&Unit],
    how: How,
    moved: bool,
    work: &Path,
    look: impl Fn(usize, Pair) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let step = progress::step(match how {
        How::Types => "compiling with debug information, to compare types and static variables",
        How::NamesData => "compiling again, to distinguish variables of one section",
        How::ReadsVariables => "compiling again, for code that the kernel changes at boot",
        How::ReadsKeys => "compiling again, for static keys and static calls of modules",
        How::LongJumps => "compiling again, for jumps between functions of one section",
    });
    let out = work.join(match how {
        How::Types => "types",
        How::NamesData => "names",
        How::ReadsVariables => "variables",
        How::ReadsKeys => "keys",
        How::LongJumps => "jumps",
    });
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make folder {}", out.display()))?;
    let cache = Cache::open(target)?;
    let works = units.iter().map(|unit| Work::new(target, unit)).collect::<Result<Vec<_>>>()?;
    let flags = match how {
        How::Types => [SECTIONS, DEBUG].concat(),
        How::ReadsVariables | How::ReadsKeys | How::NamesData | How::LongJumps => [SECTIONS, &[NO_DEBUG]].concat(),
    };
    let mut plain = target.sandbox().writable(&out, crate::sandbox::WORK);
    let mut patched = patched_sandbox(tree, target, &out)?.writable(&out, crate::sandbox::WORK);
    let (mut over_plain, mut over_patched) = (Contents::default(), Contents::of(tree));
    for (header, file) in headers(how, target, &out)? {
        let place = format!("{}/{header}", target.tree_inside);
        plain = plain.read_only(&file, &place);
        patched = patched.read_only(&file, &place);
        over_plain = over_plain.with(header, &file)?;
        over_patched = over_patched.with(header, &file)?;
    }
    let begun = SystemTime::now();
    let plain = Place { sandbox: &plain, out: &out, cache: &cache, over: &over_plain, begun };
    let patched = Place { sandbox: &patched, out: &out, cache: &cache, over: &over_patched, begun };
    let variants = |i: usize| match moved && works[i].transplant.is_some() {
        true => [Variant::MovedOriginal, Variant::MovedPatched],
        false => [Variant::Original, Variant::Patched],
    };
    let jobs: Vec<_> = (0..works.len()).flat_map(|i| variants(i).map(|variant| (i, variant))).collect();
    let (ready, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Both of a pair are compiled side by side; the one that is ready first waits here for the other.
    let waiting: Vec<Mutex<Option<Vec<u8>>>> = works.iter().map(|_| Mutex::default()).collect();
    let made = parallel::map(&jobs, |_, &(i, variant)| {
        let place = if variant.is_patched() { &patched } else { &plain };
        let made = compile_one(place, &works[i], variant, Some((&flags, how)), i)
            .map_err(|e| explain(e, target, Some(tree), works[i].unit, variant))?;
        kept.fetch_add(usize::from(made.was_kept), Ordering::Relaxed);
        let other = {
            let mut waiting = waiting[i].lock().map_err(|_| anyhow!("a compile job broke off"))?;
            let Some(other) = waiting.take() else {
                *waiting = Some(made.object);
                return Ok(None);
            };
            other
        };
        let pair = if variant.is_patched() { (other, made.object) } else { (made.object, other) };
        let found = look(i, pair)?;
        step.detail(&format!("{} of {}", 1 + ready.fetch_add(1, Ordering::Relaxed), count(units.len())));
        Ok(Some((i, found)))
    })?;
    let kept = match kept.into_inner() {
        0 => String::new(),
        n if n == jobs.len() => ", all from the cache".into(),
        n => format!(", {n} of {} objects from the cache", jobs.len()),
    };
    step.done(&format!("{}{kept}", count(units.len())));
    let mut found: Vec<(usize, R)> = made.into_iter().flatten().collect();
    found.sort_by_key(|(i, _)| *i);
    Ok(found.into_iter().map(|(_, found)| found).collect())
}
