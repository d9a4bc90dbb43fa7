// SPDX-License-Identifier: GPL-2.0-or-later
//! The live patches in the kernel with what their manifests say; live patches that the kernel no longer has, but whose
//! modules are stuck in memory.

use crate::files;
use crate::host::livepatch::{self, Patch};
use crate::host::{is_gone, Host, LARGEST};
use crate::module::claims::{self, Claims};
use crate::module::manifest;
use crate::module::preflight::Kernel;
use crate::order::{self, Place};
use anyhow::Result;
use std::collections::HashSet;

/// What is said where a manifest says nothing.
const NOT_KNOWN: &str = "what it fixes is not known";

/// One live patch in the kernel, as sysfs has it, and its module's note.
#[derive(Debug)]
pub struct InKernel {
    patch: Patch,
    /// The section of its manifest, or why there is none.
    note: Result<Vec<u8>, String>,
}

/// Reads them, in the order of their names.
///
/// # Errors
/// A file of sysfs that says what it never should. A manifest that cannot be read is no error.
pub fn read(host: &Host) -> Result<Vec<InKernel>> {
    let note = |name: &str| {
        let path = host.at("/sys/module").join(name).join("notes").join(manifest::SECTION);
        files::read(&path, LARGEST).map_err(|error| match is_gone(&error) {
            true => format!("it has no manifest written by kmend: {NOT_KNOWN}"),
            false => format!("cannot read {} ({error}): {NOT_KNOWN}", host.show(&path)),
        })
    };
    Ok(livepatch::all(host)?.into_iter().map(|patch| InKernel { note: note(&patch.name), patch }).collect())
}

/// One live patch in the kernel, understood.
#[derive(Clone, Debug)]
pub struct Live<'a> {
    /// As sysfs has it.
    pub patch: Patch,
    /// Its stream and version, by its name.
    pub place: Place,
    /// What its manifest claims, or why what it fixes is not known.
    pub claims: Result<Claims<'a>, String>,
}

impl<'a> Live<'a> {
    /// It is on, and all tasks are switched over to it. Nothing less counts as fixed.
    pub fn in_force(&self) -> bool {
        self.patch.enabled && !self.patch.transition
    }

    /// What its manifest claims, where it has one and is in force.
    pub fn claims_in_force(&self) -> Option<&Claims<'a>> {
        self.claims.as_ref().ok().filter(|_| self.in_force())
    }
}

/// Understands those of one kernel. A manifest that is damaged, or for another build of the kernel, is no error.
pub fn understand<'a>(read: &'a [InKernel], kernel: &Kernel) -> Vec<Live<'a>> {
    let live = |InKernel { patch, note }: &'a InKernel| Live {
        place: order::place(&patch.name, &kernel.release),
        claims: note.as_ref().map_err(Clone::clone).and_then(|note| claims_of(note, &patch.name, kernel)),
        patch: patch.clone(),
    };
    read.iter().map(live).collect()
}

fn claims_of<'a>(note: &'a [u8], name: &str, kernel: &Kernel) -> Result<Claims<'a>, String> {
    let claims = claims::of_section(note).map_err(|fault| format!("{}: {}: {NOT_KNOWN}", fault.place, fault.reason))?;
    if claims.name.as_ref() != name {
        return Err(format!("its manifest belongs to {}: {NOT_KNOWN}", claims.name));
    }
    match &kernel.running {
        Some(Ok(id)) if *id != claims.target.build_id => Err(format!(
            "its manifest is for the kernel with build id {}, and the one that runs has {id}: {NOT_KNOWN}",
            claims.target.build_id
        )),
        _ => Ok(claims),
    }
}

/// Modules of live patches that the kernel's livepatch no longer has, in the order of their names.
#[derive(Debug, Default)]
pub struct Left {
    /// Something holds them: after a forced transition, or where unloading failed. A reboot alone gets rid of them.
    pub stuck: Vec<String>,
    /// Nothing uses them: another live patch took their place, or they were disabled and not removed.
    pub replaced: Vec<String>,
}

/// Finds them by /proc/modules: the name, the size, the count of users, …, and where there are any the taints in brackets,
/// `K` for a live patch (Documentation/admin-guide/tainted-kernels.rst).
///
/// # Errors
/// /proc/modules or livepatch's folder cannot be read.
pub fn left(host: &Host) -> Result<Left> {
    let text = host.text(&host.at("/proc/modules"))?.unwrap_or_default();
    let there: HashSet<String> = livepatch::names(host)?.into_iter().collect();
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (name, users) = (*words.first()?, words.get(2)?.parse::<i64>().ok()?);
        let taints = words.last().filter(|w| w.starts_with('('))?;
        let is_left = taints.contains('K') && words.contains(&"Live") && !there.contains(name);
        (is_left && order::is_module_name(name)).then(|| (name.to_string(), users > 0))
    };
    let mut found: Vec<(String, bool)> = text.lines().filter_map(of_line).collect();
    found.sort_by(|a, b| order::natural(&a.0, &b.0));
    let (stuck, replaced): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, used)| *used);
    let names = |found: Vec<(String, bool)>| found.into_iter().map(|(name, _)| name).collect();
    Ok(Left { stuck: names(stuck), replaced: names(replaced) })
}

/// The level that the kernel amounts to with its live patches: what the manifests of those in force say, where they say
/// one and the same.
pub fn level<'a>(live: &'a [Live<'_>]) -> Option<&'a str> {
    let levels = live.iter().filter_map(|l| l.claims_in_force()?.stream.as_ref()?.level.as_deref());
    let mut levels: Vec<&str> = levels.collect();
    levels.dedup();
    match levels.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}
