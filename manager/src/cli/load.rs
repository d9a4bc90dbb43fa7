// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend load: one module, or of each stream the newest that fits the running kernel.

use super::Which;
use crate::host::notes::Breaker;
use crate::host::store::{self, Installed};
use crate::host::{livepatch, lock};
use crate::load::{load, load_one_of_many, Stalled};
use crate::module::preflight::{check, Kernel, Ready};
use crate::order::{self, Place};
use crate::status::count;
use crate::{aside, breaker, failures, step, watch, Run};
use anyhow::{bail, ensure, Result};
use std::path::Path;

/// What is said of a kernel without livepatch.
const WITHOUT: &str = "this kernel is built without CONFIG_LIVEPATCH: no live patch can be loaded";

/// Runs the command.
pub fn run(run: &Run<'_>, which: &Which) -> Result<()> {
    let kernel = Kernel::running(run.host)?;
    match &which.module {
        Some(module) => one(run, module, &kernel),
        None => all(run, &kernel),
    }
}

fn one(run: &Run<'_>, module: &Path, kernel: &Kernel) -> Result<()> {
    let path = store::locate(run.host, &kernel.release, module)?;
    let _lock = lock::take(run, "load", false)?;
    known(run, &path, kernel, &mut breaker::look(run)?)
}

/// Loads this file, and has its failure stay to be seen; the caller holds the lock.
///
/// # Errors
/// As of [`load`], and it is set aside, or cannot take the place of the newer one in force.
pub fn known(run: &Run<'_>, path: &Path, kernel: &Kernel, breaker: &mut Breaker) -> Result<()> {
    let name = store::name_of(path);
    let done = checked(run, path, kernel, breaker);
    keep(run, &name, &kernel.release, &done);
    done
}

/// What became of a load stays to be seen.
fn keep(run: &Run<'_>, name: &str, release: &str, done: &Result<()>) {
    match done {
        Ok(()) => failures::clear(run, "load", name, release),
        Err(error) => failures::record(run, "load", name, release, error),
    }
}

fn checked(run: &Run<'_>, path: &Path, kernel: &Kernel, breaker: &mut Breaker) -> Result<()> {
    let ready = check(run.host, path, kernel)?;
    aside::refuse(breaker, &ready.module.name, &kernel.release)?;
    let place = order::place(&ready.module.name, &kernel.release);
    let newer = newer_in_force(run, &place, &kernel.release)?;
    let Some(newer) = newer else { return load(run, &ready, breaker) };
    run.say.warn(format!("{newer} is in force and newer: this is a step back"));
    let current = step::loaded(run.host, &newer);
    match (&current, &ready.module.manifest) {
        (Some(current), Some(older)) => {
            let against = step::against(current, older);
            ensure!(
                against.is_empty(),
                "{}: it cannot take the place of {newer}: {}\n  what you can do: `kmend unload {newer}`, then `kmend load \
                 {}`; the host is without both in between",
                run.host.show(path),
                against.join("; "),
                ready.module.name
            );
        }
        _ => run.say.warn(format!(
            "{newer} or {} has no manifest of kmend's: whether callbacks of {newer} would be left out is not known",
            ready.module.name
        )),
    }
    load(run, &ready, breaker)?;
    step::tell_lost(run, current.as_ref());
    Ok(())
}

/// Runs `retry`: lifts what was set aside, and loads it.
pub fn retry(run: &Run<'_>, module: &Path) -> Result<()> {
    let kernel = Kernel::running(run.host)?;
    let name = store::named(run.host, &kernel.release, module)?;
    {
        let _lock = lock::take(run, "retry", true)?;
        aside::lift(run, &name, &kernel.release)?;
    }
    run.say.line(format!("{name} is no longer set aside"));
    one(run, module, &kernel)
}

/// The live patch in force that is a newer version of the same stream.
fn newer_in_force(run: &Run<'_>, place: &Place, release: &str) -> Result<Option<String>> {
    if place.version.is_none() {
        return Ok(None);
    }
    let newer = |name: &String| {
        let other = order::place(name, release);
        other.stream == place.stream && other.version > place.version
    };
    // Of thousands those of the stream alone are asked for their state.
    for name in livepatch::names(run.host)?.into_iter().filter(|name| name.starts_with(&place.stream)).filter(newer) {
        if livepatch::find(run.host, &name)?.is_some_and(|patch| patch.enabled) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// One stream: the newest candidate that passed the preflight. It is read again before it is loaded: there may be thousands,
/// and neither their bytes nor their open files are held meanwhile.
struct Stream {
    newest: String,
    good: Option<Installed>,
    replaces: bool,
}

fn all(run: &Run<'_>, kernel: &Kernel) -> Result<()> {
    let _lock = lock::take(run, "load --all", false)?;
    let mut breaker = breaker::look(run)?;
    let installed = store::with_kept(run.host, &kernel.release)?;
    if livepatch::is_missing(run.host) {
        // A boot without anything to load is no failed one.
        ensure!(installed.is_empty(), "{WITHOUT}, and none of {} was", count(installed.len(), "installed file"));
        run.say.warn(WITHOUT);
        return Ok(());
    }
    for (file, other) in store::doubles(run.host, &kernel.release)? {
        let (file, other, name) = (run.host.show(&file.path), run.host.show(&other.path), other.name);
        run.say.warn(format!(
            "{file} is not loaded: {other} is another build of the same module, {name}; uninstall one of them"
        ));
    }
    for file in store::compressed(run.host, &kernel.release) {
        run.say.warn(format!("{} is compressed and is not loaded; decompress it", run.host.show(&file)));
    }
    let mut faults = 0;
    let mut streams = Vec::new();
    for candidates in store::streams(installed) {
        let newest = candidates[0].name.clone();
        let candidates = not_aside(run, candidates, &breaker, &kernel.release);
        let mut good = None;
        // Older ones are read only where they are needed.
        for candidate in candidates {
            match check(run.host, &candidate.path, kernel) {
                Ok(ready) => {
                    good = Some((replaces(&ready), candidate));
                    break;
                }
                Err(refusal) => {
                    faults += 1;
                    run.say.warn(refusal.to_string());
                    keep(run, &candidate.name, &kernel.release, &Err(refusal.into()));
                }
            }
        }
        let (replaces, good) = good.map_or((false, None), |(replaces, candidate)| (replaces, Some(candidate)));
        streams.push(Stream { newest, good, replaces });
    }
    // Those that take the place of all others come first: the others would not survive them.
    streams.sort_by_key(|s| !s.replaces);
    let mut in_force: Vec<String> = Vec::new();
    let mut has_loaded = false;
    let well: Result<Vec<bool>> = streams
        .into_iter()
        .map(|stream| load_stream(run, kernel, &mut breaker, stream, &mut in_force, &mut has_loaded))
        .collect();
    if has_loaded {
        watch::start(run);
    }
    faults += well?.into_iter().filter(|well| !well).count();
    for name in in_force {
        if livepatch::find(run.host, &name)?.is_none_or(|p| !p.enabled) {
            faults += 1;
            run.say.warn(format!(
                "{name} was loaded and is no longer in force: a live patch of another stream took its place; uninstall one \
                 of the two"
            ));
        }
    }
    match faults {
        0 => Ok(()),
        _ => bail!(
            "not all live patches that are installed could be loaded: see above; `kmend status` shows what is in force"
        ),
    }
}

/// Those that are not set aside, newest first. Of those older than one that is, the newest that is known to be good comes
/// before the others.
fn not_aside(run: &Run<'_>, candidates: Vec<Installed>, breaker: &Breaker, release: &str) -> Vec<Installed> {
    let is_aside = |i: &Installed| breaker.aside(&i.name, release).is_some();
    let is_good = |i: &Installed| breaker.is_good(&i.name, release);
    let newer = candidates.iter().position(is_aside).unwrap_or(candidates.len());
    let (aside, mut left): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_aside);
    for Installed { name, .. } in &aside {
        run.say.warn(format!("{name} is set aside and not loaded; `kmend retry {name}` loads it anyway"));
    }
    let older = left.get_mut(newer..).unwrap_or_default();
    if let Some(good) = older.iter().position(is_good) {
        older[..=good].rotate_right(1);
    }
    left
}

fn replaces(ready: &Ready) -> bool {
    ready.module.manifest.as_ref().is_some_and(|m| m.replace)
}

/// Loads the newest of a stream; where the kernel refuses that, the next older one that fits. Whether all went well.
fn load_stream(
    run: &Run<'_>,
    kernel: &Kernel,
    breaker: &mut Breaker,
    stream: Stream,
    in_force: &mut Vec<String>,
    has_loaded: &mut bool,
) -> Result<bool> {
    let mut well = true;
    let mut candidates = stream.good;
    while let Some(candidate) = candidates.take() {
        let ready = match check(run.host, &candidate.path, kernel) {
            Ok(ready) => ready,
            Err(refusal) => {
                well = false;
                run.say.warn(refusal.to_string());
                keep(run, &candidate.name, &kernel.release, &Err(refusal.into()));
                candidates = next_older(run, kernel, breaker, &candidate)?;
                continue;
            }
        };
        let name = ready.module.name.clone();
        let place = order::place(&name, &kernel.release);
        if let Some(newer) = newer_in_force(run, &place, &kernel.release)? {
            run.say.line(format!("{newer} is in force and newer than {name}, which is not loaded"));
            in_force.push(newer);
            return Ok(well);
        }
        let is_on = livepatch::find(run.host, &name)?.is_some_and(|p| p.enabled);
        if replaces(&ready) && !is_on && !in_force.is_empty() {
            run.say.warn(format!(
                "{name} would replace {}, which belongs to another stream: not loaded; uninstall one of them",
                in_force.join(", ")
            ));
            return Ok(false);
        }
        let done = load_one_of_many(run, &ready, breaker).map(|began| *has_loaded |= began);
        keep(run, &name, &kernel.release, &done);
        match done {
            Ok(()) => {
                if candidate.name != stream.newest {
                    run.say.warn(format!("{name} is in force in the place of {}, which was not loaded", stream.newest));
                }
                in_force.push(name);
                return Ok(well);
            }
            Err(error) => {
                well = false;
                run.say.warn(format!("{error:#}"));
                if error.is::<Stalled>() {
                    // An older one would have to wait for the same tasks.
                    return Ok(false);
                }
                candidates = next_older(run, kernel, breaker, &candidate)?;
            }
        }
    }
    Ok(well)
}

/// The newest of the same stream that is older than `than` and passes the preflight.
fn next_older(run: &Run<'_>, kernel: &Kernel, breaker: &Breaker, than: &Installed) -> Result<Option<Installed>> {
    let installed = store::with_kept(run.host, &kernel.release)?;
    let older = installed.into_iter().rev();
    let older = older.filter(|i| i.place.stream == than.place.stream && i.place.version < than.place.version);
    for candidate in older.filter(|i| breaker.aside(&i.name, &kernel.release).is_none()) {
        match check(run.host, &candidate.path, kernel) {
            Ok(_) => return Ok(Some(candidate)),
            Err(refusal) => {
                run.say.warn(refusal.to_string());
                keep(run, &candidate.name, &kernel.release, &Err(refusal.into()));
            }
        }
    }
    Ok(None)
}
