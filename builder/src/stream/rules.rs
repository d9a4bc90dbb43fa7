// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules of a ledger: a version that was or is to be built, and what was released before it in, refusals out.
//! A host takes any version of a stream over any older one, so a newer one must do all that the older ones do.

use super::ledger::Entry;
use super::values::Version;
use super::{Kernel, Release, Stream, StreamFix};
use crate::error::Refusal;
use crate::manifest::Manifest;

/// The newest entry below `version`.
pub fn before(released: &[Entry], version: Version) -> Option<&Entry> {
    released.iter().rev().find(|e| e.version < version)
}

/// What can be said before anything is built: no fix is dropped, and `replaces` names what was there.
pub fn fixes(stream: &Stream, kernel: &Kernel, release: &Release, released: &[Entry]) -> Vec<Refusal> {
    let fixes = stream.fixes(kernel, release.version);
    let mut refusals = Vec::new();
    let refuse =
        |code: &str, symbol: &str, reason: String, hint: &str| Refusal::new(code, symbol, &kernel.target, reason, hint);
    if let Some(before) = before(released, release.version) {
        for old in &before.fixes {
            let replaced = |f: &StreamFix| f.replaces.as_ref().is_some_and(|sum| old.has_sum(sum));
            let kept = fixes.iter().any(|(_, f)| old.is(f) || replaced(f));
            if kept {
                continue;
            }
            let is_namesake = |f: &StreamFix| f.path.file_name().is_some_and(|n| n.to_string_lossy() == old.file);
            let namesake = fixes.iter().find(|(_, f)| is_namesake(f) && f.commit == old.commit);
            refusals.push(match namesake {
                Some(_) => refuse(
                    "released-fix-changed",
                    &old.file,
                    match old.hunks_sha256 {
                        Some(_) => format!("its changes differ from those in version {}, which is released", before.version),
                        None => format!(
                            "the file has other contents than in version {}, which an older kmend-build has released and \
                             of which the ledger has the sum of the whole file",
                            before.version
                        ),
                    },
                    &format!("restore it, or add to its table: replaces = \"{}\"", old.sum()),
                ),
                None => refuse(
                    "released-fix-dropped",
                    &old.file,
                    format!(
                        "{:?} is in version {}, which is released, and not in {}",
                        old.title, before.version, release.version
                    ),
                    &format!(
                        "restore it, or add to the table of the fix that replaces it: replaces = \"{}\"",
                        old.sum()
                    ),
                ),
            });
        }
    }
    for gone in released.iter().filter(|e| stream.versions.iter().all(|r| r.version != e.version)) {
        refusals.push(refuse(
            "released-version-missing",
            &gone.module,
            format!("version {} is released and not in the stream file", gone.version),
            "restore its table: changelogs and the index refer to it",
        ));
    }
    let in_file: Vec<&StreamFix> = stream.versions.iter().flat_map(|r| &r.fixes).filter(|f| f.is_for(kernel)).collect();
    let known = |sum: &String| {
        let was_released = released.iter().flat_map(|e| &e.fixes).any(|f| f.has_sum(sum));
        was_released || in_file.iter().any(|f| f.has_sum(sum))
    };
    for (_, fix) in fixes {
        if let Some(unknown) = fix.replaces.as_ref().filter(|sum| !known(sum)) {
            refusals.push(refuse(
                "replaces-nothing",
                &fix.path.file_name().unwrap_or_default().to_string_lossy(),
                format!("it replaces {unknown}, which is no fix of this file and was never released for this kernel"),
                "leave `replaces` out, or name the `hunks_sha256` that ledger.json has for the older fix",
            ));
        }
    }
    refusals
}

/// What has to be built first: states and callbacks of the version before, and that a released version is what it was.
pub fn module(manifest: &Manifest, release: &Release, released: &[Entry]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let refuse = |code: &str, symbol: &str, reason: String, hint: &str| {
        Refusal::new(code, symbol, &manifest.target.name, reason, hint)
    };
    if let Some(last) = released.iter().find(|e| e.version == release.version) {
        if manifest.module_sha256.as_deref() != Some(&last.module_sha256) {
            let now = manifest.module_sha256.as_deref().unwrap_or("unknown");
            refusals.push(refuse(
                "released-version-changed",
                &manifest.name,
                format!(
                    "version {} is released with SHA-256 {}, and this one has {now}",
                    release.version, last.module_sha256
                ),
                "put what changed into a new version",
            ));
        }
        return refusals;
    }
    if let Some(newest) = released.last().filter(|e| e.version > release.version) {
        refusals.push(refuse(
            "released-version-newer",
            &manifest.name,
            format!("version {} is released, {} comes before it", newest.version, release.version),
            "give it a higher version",
        ));
        return refusals;
    }
    let Some(before) = before(released, release.version) else { return refusals };
    if before.build_id != manifest.target.build_id {
        let now = &manifest.target.build_id;
        refusals.push(refuse(
            "released-for-another-build",
            &manifest.name,
            format!(
                "version {} is for the build {} of this kernel, this one is for {now}",
                before.version, before.build_id
            ),
            "prepare the target anew from the kernel that was released, or begin another stream for the new one",
        ));
    }
    for old in &before.states {
        let now = manifest.states.iter().find(|s| s.id == old.id);
        let reason = match now {
            None => format!("version {} has it, this one does not", before.version),
            Some(now) if now.version < old.version => {
                format!("version {} has it in version {}, this one in {}", before.version, old.version, now.version)
            }
            Some(_) => continue,
        };
        refusals.push(refuse(
            "state-missing",
            &format!("state {:#x}", old.id),
            reason,
            "declare it in the same version or a newer one: the kernel refuses to put this live patch over the older one",
        ));
    }
    if release.callbacks_dropped.is_none() {
        for old in &before.callbacks {
            if !manifest.callbacks.iter().any(|c| c.object == old.object && c.kind == old.kind) {
                refusals.push(refuse(
                    "callback-missing",
                    &format!("{} of {}", old.kind.name(), old.object),
                    format!(
                        "version {} has it, this one does not; when this one replaces it, the kernel calls no \
                         callback of the older one, so what that has set up stays",
                        before.version
                    ),
                    "declare it in this version as well or, if nothing has to be undone, say why in the version's \
                     table: callbacks_dropped = \"REASON\"",
                ));
            }
        }
    }
    refusals
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
