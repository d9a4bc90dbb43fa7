// SPDX-License-Identifier: GPL-2.0-or-later
//! Compiles units once more, original and patched, for a question that few fixes raise: units, the patched files and
//! what to do otherwise in, pairs of objects out. Nothing of it is kept in the cache.

use super::{compile_one, explain, patched_sandbox, run_jobs, Unit, Variant, Work, NO_DEBUG, SECTIONS};
use crate::compile::cache::Cache;
use crate::progress;
use crate::source::PatchedTree;
use crate::target::Target;
use anyhow::{Context, Result};
use std::path::Path;

/// What is done otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With debug information, for what types look like.
    Types,
    /// Without code that the kernel changes at boot in its own image alone: see [`fallback`].
    ReadsVariables,
}

/// Debug information that the object holds itself, unpacked.
const DEBUG: &[&str] = &["-g2", "-gno-split-dwarf", "-gz=none"];

/// The kernel has a form of asm/runtime-const.h for architectures that do not write values into their code: it reads
/// the variables. On x86_64 what is compiled for the kernel uses the other form, and a module cannot.
/// Pairs of files of the tree: the header, and what takes its place. Sources: arch/x86/include/asm/runtime-const.h,
/// include/asm-generic/runtime-const.h, from 6.11 on.
const FALLBACK: &[(&str, &str)] = &[("arch/x86/include/asm/runtime-const.h", "include/asm-generic/runtime-const.h")];

/// True where the target has what [`How::ReadsVariables`] needs.
pub fn fallback(target: &Target) -> bool {
    FALLBACK.iter().all(|(header, instead)| [header, instead].iter().all(|f| target.tree.join(f).is_file()))
}

/// Compiles each of `units` as it was and as the fixes leave it; the objects in the order of `units`.
///
/// # Errors
/// What the compiler says.
pub fn again(
    target: &Target,
    tree: &PatchedTree,
    units: &[&Unit],
    how: How,
    work: &Path,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let step = progress::step(match how {
        How::Types => "compiling with debug information, to compare types",
        How::ReadsVariables => "compiling again, for code that the kernel changes at boot",
    });
    let out = work.join(match how {
        How::Types => "types",
        How::ReadsVariables => "variables",
    });
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make folder {}", out.display()))?;
    let cache = Cache::open(target)?;
    let works = units.iter().map(|unit| Work::new(&cache, target, unit)).collect::<Result<Vec<_>>>()?;
    let flags = match how {
        How::Types => DEBUG.to_vec(),
        How::ReadsVariables => [SECTIONS, &[NO_DEBUG]].concat(),
    };
    let mut plain = target.sandbox().writable(&out, crate::sandbox::WORK);
    let mut patched = patched_sandbox(tree, target, &out)?.writable(&out, crate::sandbox::WORK);
    if how == How::ReadsVariables {
        for (header, instead) in FALLBACK {
            let place = format!("{}/{header}", target.tree_inside);
            plain = plain.read_only(&target.tree.join(instead), &place);
            patched = patched.read_only(&target.tree.join(instead), &place);
        }
    }
    let jobs = (0..works.len()).flat_map(|i| [(i, Variant::Original), (i, Variant::Patched)]).collect();
    let mut made = run_jobs(jobs, |i, variant| {
        let sandbox = if variant.is_patched() { &patched } else { &plain };
        compile_one(sandbox, &works[i], variant, Some(&flags), i, &out)
            .map_err(|e| explain(e, target, &tree.titles(), works[i].unit, variant))
    })?;
    made.sort_by_key(|((i, variant), _)| (*i, variant.is_patched()));
    step.done("");
    let mut objects = made.into_iter().map(|(_, made)| made.object);
    Ok(std::iter::from_fn(|| Some((objects.next()?, objects.next()?))).collect())
}
