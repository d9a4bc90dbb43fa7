// SPDX-License-Identifier: GPL-2.0-or-later
//! /sys/kernel/livepatch: which live patches the kernel has, and their state
//! (Documentation/ABI/testing/sysfs-kernel-livepatch).

use super::Host;
use crate::order;
use anyhow::{bail, Context, Result};
use serde::Serialize;
use std::path::PathBuf;

/// The folder of the kernel's livepatch.
pub const FOLDER: &str = "/sys/kernel/livepatch";

/// What is said where that folder is missing.
pub const MISSING: &str =
    "/sys/kernel/livepatch is missing: this kernel has no livepatch (CONFIG_LIVEPATCH), or /sys is not mounted";

/// One live patch in the kernel.
#[derive(Clone, Debug)]
pub struct Patch {
    /// The module's name.
    pub name: String,
    /// It is in force, or on the way there.
    pub enabled: bool,
    /// Tasks are being switched over, to it or away from it.
    pub transition: bool,
    /// Its place in the order of live patches, 1 the oldest; kernels before 6.14 do not tell.
    pub stack_order: Option<u64>,
}

/// The state of a live patch, in the words of `kpatch list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In force for all tasks.
    Enabled,
    /// On the way there.
    Enabling,
    /// On the way out.
    Disabling,
    /// In force for none.
    Disabled,
}

impl State {
    /// As `list` shows it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Enabling => "enabling...",
            Self::Disabling => "disabling...",
            Self::Disabled => "disabled",
        }
    }
}

impl Patch {
    /// Its state.
    pub fn state(&self) -> State {
        match (self.enabled, self.transition) {
            (true, false) => State::Enabled,
            (true, true) => State::Enabling,
            (false, true) => State::Disabling,
            (false, false) => State::Disabled,
        }
    }
}

/// One function of a live patch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function {
    /// The klp object: `vmlinux` or a module.
    pub object: String,
    /// Its name.
    pub name: String,
    /// Its position among its namesakes, as sysfs has it.
    pub position: String,
}

/// A file of a live patch's folder.
pub fn file(host: &Host, name: &str, file: &str) -> PathBuf {
    host.at(FOLDER).join(name).join(file)
}

/// Whether the kernel has livepatch at all.
pub fn is_there(host: &Host) -> bool {
    host.at(FOLDER).is_dir()
}

/// Whether the kernel is known to have none: /sys is there, and the folder is not.
pub fn is_missing(host: &Host) -> bool {
    !is_there(host) && host.at("/sys/kernel").is_dir()
}

/// Names of all live patches, in their order, numbers as numbers.
///
/// # Errors
/// The folder cannot be listed.
pub fn names(host: &Host) -> Result<Vec<String>> {
    let mut names = host.names(&host.at(FOLDER))?;
    names.sort_by(|a, b| order::natural(a, b));
    Ok(names)
}

/// All live patches, in the order of their names, numbers as numbers.
///
/// # Errors
/// A file of sysfs that says what it never should.
pub fn all(host: &Host) -> Result<Vec<Patch>> {
    let mut patches = Vec::new();
    for name in names(host)? {
        patches.extend(find(host, &name)?);
    }
    Ok(patches)
}

/// The live patch of that name; None where there is none.
///
/// # Errors
/// A file of sysfs that says what it never should.
pub fn find(host: &Host, name: &str) -> Result<Option<Patch>> {
    let Some(enabled) = flag(host, name, "enabled")? else { return Ok(None) };
    // Before 4.12 there is no such file, as there was no transition.
    let transition = flag(host, name, "transition")?.unwrap_or(false);
    let path = file(host, name, "stack_order");
    let stack_order = match host.text(&path)? {
        Some(text) => Some(text.parse().with_context(|| format!("{} says {text:?}", host.show(&path)))?),
        None => None,
    };
    Ok(Some(Patch { name: name.into(), enabled, transition, stack_order }))
}

/// The live patch whose tasks are being switched over; there is one at most.
///
/// # Errors
/// As [`all`].
pub fn in_transition(host: &Host) -> Result<Option<Patch>> {
    Ok(all(host)?.into_iter().find(|patch| patch.transition))
}

fn flag(host: &Host, name: &str, flag: &str) -> Result<Option<bool>> {
    let path = file(host, name, flag);
    match host.text(&path)?.as_deref() {
        None => Ok(None),
        Some("0") => Ok(Some(false)),
        Some("1") => Ok(Some(true)),
        Some(other) => bail!("{} says {other:?}, neither 0 nor 1", host.show(&path)),
    }
}

/// The functions of a live patch, sorted: `/sys/kernel/livepatch/PATCH/OBJECT/FUNCTION,POSITION`.
///
/// # Errors
/// A folder that cannot be listed.
pub fn functions(host: &Host, name: &str) -> Result<Vec<Function>> {
    let folder = host.at(FOLDER).join(name);
    let mut found = Vec::new();
    for object in host.names(&folder)? {
        let inside = folder.join(&object);
        for function in host.names(&inside)? {
            if let (Some((name, position)), true) = (function.rsplit_once(','), inside.join(&function).is_dir()) {
                found.push(Function { object: object.clone(), name: name.into(), position: position.into() });
            }
        }
    }
    found.sort();
    Ok(found)
}
