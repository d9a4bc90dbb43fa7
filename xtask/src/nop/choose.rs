// SPDX-License-Identifier: GPL-2.0-or-later
//! The units of a sample: a target, a number and a seed in, C files out, half of them vmlinux's and half modules'. A larger
//! sample of the same seed has the smaller one in it.

use super::edit::{self, Function};
use crate::prove::shuffled;
use anyhow::{Context, Result};
use kmend_builder::progress;
use kmend_builder::reach::affected;
use kmend_builder::target::kbuild::Unit;
use kmend_builder::target::Target;

/// A C file of the sample.
pub struct Source {
    /// Its path in the tree.
    pub path: String,
    /// The klp object that it becomes a part of.
    pub object: String,
    /// What it says.
    pub text: String,
    /// Its functions.
    pub functions: Vec<Function>,
}

/// The fewest and the most files of which kbuild is asked together: it makes out the commands of all in their modules, which
/// takes minutes for the first files of a tree.
const AT_A_TIME: [usize; 2] = [8, 64];

/// `many` files of `target` with functions that can be changed; fewer where it has no more.
pub fn choose(target: &Target, many: usize, seed: &str) -> Result<Vec<Source>> {
    let order = shuffled(&affected::everything(target)?, seed);
    let (mut vmlinux, mut modules) = (Vec::new(), Vec::new());
    let (of_vmlinux, of_modules) = (many / 2, many - many / 2);
    let [fewest, most] = AT_A_TIME;
    let step = progress::step(format!("choosing {many} units among {} files", order.len()));
    for chunk in order.chunks((2 * many).clamp(fewest, most)) {
        for source in usable(target, chunk)? {
            if source.object == "vmlinux" { &mut vmlinux } else { &mut modules }.push(source);
        }
        if vmlinux.len() >= of_vmlinux && modules.len() >= of_modules {
            break;
        }
        step.detail(&format!("{} of vmlinux and {} of modules so far", vmlinux.len(), modules.len()));
    }
    step.done("");
    vmlinux.truncate(of_vmlinux);
    modules.truncate(of_modules);
    vmlinux.extend(modules);
    vmlinux.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(vmlinux)
}

/// Those of `paths` that are units and have functions to change, in their order.
pub fn usable(target: &Target, paths: &[String]) -> Result<Vec<Source>> {
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let units = units(target, &paths);
    let mut found = Vec::new();
    for path in paths {
        let Some(unit) = units.iter().find(|u| u.source == path) else { continue };
        let bytes = std::fs::read(target.tree.join(path)).with_context(|| format!("cannot read {path}"))?;
        // Names of people in other encodings.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let functions = edit::functions(&text);
        if functions.iter().any(|f| f.never.is_none()) {
            let object = unit.module.clone().unwrap_or_else(|| "vmlinux".into());
            found.push(Source { path: path.into(), object, text, functions });
        }
    }
    Ok(found)
}

/// The units of `paths`. One of which kbuild says nothing is left out.
fn units(target: &Target, paths: &[&str]) -> Vec<Unit> {
    match affected::units_of(target, paths) {
        Ok((units, _)) => units,
        Err(_) if paths.len() == 1 => Vec::new(),
        Err(_) => paths.iter().flat_map(|path| units(target, &[path])).collect(),
    }
}
