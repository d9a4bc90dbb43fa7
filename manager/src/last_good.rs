// SPDX-License-Identifier: GPL-2.0-or-later
//! The last good version outlives its package. When a package is upgraded, its scripts install and load the new version and
//! uninstall the old one immediately, before the new one is known to be good. So the old file is kept until then, one per stream
//! and kernel, and `load --all` falls back to it. The caller holds the lock.

use crate::host::notes::{self, Breaker, Failures};
use crate::host::store::{self, Installed};
use crate::host::{livepatch, Host};
use crate::order::{Place, Version};
use crate::{files, Run};
use anyhow::Result;
use std::fs;

/// What of several is kept: the newest that is known to be good, else the one in force, else the newest.
type Rank = (bool, bool, bool, Option<Version>);

fn rank(host: &Host, breaker: &Breaker, file: &Installed, release: &str) -> Rank {
    let aside = breaker.aside(&file.name, release).is_some();
    let in_force = livepatch::find(host, &file.name).is_ok_and(|p| p.is_some_and(|p| p.enabled));
    (!aside, breaker.is_good(&file.name, release), in_force, file.place.version)
}

/// Takes an installed file away. Where a newer version is installed that is not known to be good, it is kept. A failure to
/// keep it is told, and it is taken away all the same: package scripts count on that.
///
/// # Errors
/// It cannot be removed.
pub fn uninstall(run: &Run<'_>, file: &Installed, release: &str) -> Result<()> {
    // Damaged, it is told by the next load, and nothing counts as good.
    let breaker: Breaker = notes::read(run.host).unwrap_or_default();
    gone(run, &file.place, release);
    let until = until(run.host, &breaker, file, release).unwrap_or_else(|error| {
        run.say.warn(format!("{error:#}: {} is not kept", file.name));
        None
    });
    match until {
        None => files::remove(&file.path)?,
        Some(newer) => keep(run, file, release, &newer)?,
    }
    tidy(run, &breaker);
    Ok(())
}

/// A version goes, or has gone: where there is none newer than it, nothing of its stream is kept any more. A failure is told
/// and no more.
pub fn gone(run: &Run<'_>, place: &Place, release: &str) {
    let done = || -> Result<()> {
        if place.version.is_none() || store::newer(run.host, release, place)?.is_some() {
            return Ok(());
        }
        let kept = store::in_kept_folder(run.host, release)?;
        kept.iter().filter(|k| k.place.stream == place.stream).try_for_each(|k| files::remove(&k.path))
    };
    if let Err(error) = done() {
        run.say.warn(format!("{error:#}: in {}, what is no longer needed stays", store::KEPT));
    }
}

fn keep(run: &Run<'_>, file: &Installed, release: &str, newer: &Version) -> Result<()> {
    let name = &file.name;
    let to = run.host.at(store::KEPT).join(release).join(file.path.file_name().unwrap_or_default());
    match files::move_to(&file.path, &to) {
        Ok(()) => run.say.line(format!("{name} is kept until {newer} is known to be good")),
        Err(error) => {
            run.say.warn(format!(
                "{error:#}: {name} is not kept; should {newer} crash this host, it does not take its place at the next boot"
            ));
            if file.path.exists() {
                files::remove(&file.path)?;
            }
        }
    }
    Ok(())
}

/// The version that `file`, which is being uninstalled, has to be kept for; None where it has not.
fn until(host: &Host, breaker: &Breaker, file: &Installed, release: &str) -> Result<Option<Version>> {
    let own = rank(host, breaker, file, release);
    let (is_usable, is_good, is_in_force, _) = own;
    let failed = || notes::read::<Failures>(host).unwrap_or_default().failures;
    let is_ours = |module: &str, of: &str| module == file.name && of == release;
    if !is_usable || !is_good && !is_in_force && failed().iter().any(|f| is_ours(&f.module, &f.release)) {
        return Ok(None);
    }
    let installed = store::installed(host, release)?;
    let others = || installed.iter().filter(|i| i.path != file.path && i.place.stream == file.place.stream);
    // Of the newer ones a good one is enough; of the older ones, where this one is not.
    if others().any(|i| breaker.is_good(&i.name, release) && (i.is_newer(file) || !is_good)) {
        return Ok(None);
    }
    let kept = store::in_kept_folder(host, release)?;
    let is_better = |k: &Installed| k.place.stream == file.place.stream && rank(host, breaker, k, release) > own;
    if kept.iter().any(is_better) {
        return Ok(None);
    }
    store::newer(host, release, &file.place)
}

/// Removes what has no longer to be kept: a newer version is known to be good, or it is installed itself, or another is
/// kept in its place. What `breaker` says has to be on the disk. A failure is told and no more.
pub fn tidy(run: &Run<'_>, breaker: &Breaker) {
    let done = store::kept_releases(run.host)
        .and_then(|releases| releases.iter().try_for_each(|release| tidy_release(run.host, breaker, release)));
    if let Err(error) = done {
        run.say.warn(format!("{error:#}: in {}, what is no longer needed stays", store::KEPT));
    }
}

fn tidy_release(host: &Host, breaker: &Breaker, release: &str) -> Result<()> {
    let installed = store::installed(host, release)?;
    let needed = store::kept(host, release)?;
    let is_over = |k: &Installed| installed.iter().any(|i| i.is_newer(k) && breaker.is_good(&i.name, release));
    let needed: Vec<Installed> = needed.into_iter().filter(|k| !is_over(k)).collect();
    let best = |k: &&Installed| {
        let own = rank(host, breaker, k, release);
        let same = needed.iter().filter(|other| other.place.stream == k.place.stream);
        same.map(|other| rank(host, breaker, other, release)).all(|other| other <= own)
    };
    let stays: Vec<&Installed> = needed.iter().filter(best).collect();
    for file in store::in_kept_folder(host, release)? {
        if stays.iter().all(|kept| kept.path != file.path) {
            files::remove(&file.path)?;
        }
    }
    // A loss of power may have left it empty; one that is not stays.
    let _ = fs::remove_dir(host.at(store::KEPT).join(release));
    Ok(())
}
