// SPDX-License-Identifier: GPL-2.0-or-later
//! Files that the kernel compiles without ftrace, as most of lib/ and kernel/trace/: no function in them can be replaced. Units in,
//! the refusals out that are certain, before all other units are looked at.
//!
//! The flags alone refuse nothing: the fix may compile to the same code there, or change only what is inlined into other files.

use super::affected::Affected;
use crate::compile;
use crate::diff::{self, patchability};
use crate::elf::read::{read, Take};
use crate::error::{Refusal, Refused};
use crate::source::PatchedTree;
use crate::special::layout::Layouts;
use crate::target::kbuild::{self, Unit};
use crate::target::Target;
use anyhow::Result;
use std::path::Path;

/// The code that is certain before anything else is known of the fix.
const CODE: &str = "no-ftrace-site";

/// The units that are worth asking about: files without ftrace that the fix touches. None where it reaches no other units.
pub fn asked(target: &Target, tree: &PatchedTree, affected: &Affected) -> Vec<Unit> {
    let is_asked = |unit: &&Unit| {
        let is_touched = unit.source.ends_with(".c") && tree.files.contains_key(&unit.source);
        is_touched && kbuild::saved(target, &unit.object).is_ok_and(|saved| !saved.is_traced())
    };
    let asked: Vec<Unit> = affected.units.iter().filter(is_asked).cloned().collect();
    let has_others = asked.len() != affected.units.len() || !affected.doubtful.is_empty();
    if has_others {
        asked
    } else {
        Vec::new()
    }
}

/// Compiles the units `asked`. `layouts` are the kernel's: without them a line number in `__bug_table` is taken for code.
///
/// # Errors
/// [`Refused`] with the functions there that change; what the compiler says.
pub fn ask(target: &Target, tree: &PatchedTree, asked: &[Unit], layouts: &Layouts, work: &Path) -> Result<()> {
    let mut found = Vec::new();
    for pair in compile::compile(target, tree, asked, &work.join("untraced"))? {
        let objects = (read(&pair.original, Take::NoDebug)?, read(&pair.patched, Take::NoDebug)?);
        let changes = diff::diff(&objects.0, &objects.1, layouts)?;
        let source = &pair.unit.source;
        let of_file = |r: Refusal| Refusal { section: format!("{source}, {}", r.section), ..r };
        found.extend(patchability::refusals(&changes).into_iter().filter(|r| r.code == CODE).map(of_file));
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(Refused(found).into()),
    }
}
