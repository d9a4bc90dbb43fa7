// SPDX-License-Identifier: GPL-2.0-or-later
//! Loading and unloading of one live patch: a module that passed the preflight in, a live patch in force out; or an
//! error, with the kernel as it was before.

use crate::host::kernel::explain_load;
use crate::host::livepatch::{self, Patch};
use crate::host::notes::Breaker;
use crate::host::{trust, LARGEST};
use crate::module::preflight::Ready;
use crate::module::{manifest, note};
use crate::transition::{self, End};
use crate::{breaker, files, watch, Run};
use anyhow::{bail, ensure, Context, Result};
use rustix::io::Errno;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How often a busy kernel is asked, as in kpatch.
const TRIES: u32 = 5;
/// How long to wait in between.
const BETWEEN_TRIES: Duration = Duration::from_secs(2);
/// How often, and how far apart, is looked whether the kernel has let go of modules that were replaced.
const RELEASES: u32 = 50;
/// See there.
const RELEASE: Duration = Duration::from_millis(10);
/// How long a module's users are waited for, seconds.
const REFERENCES: u64 = 15;

/// A transition that did not end within its time. The live patch was turned back, or stays under way where it says so.
#[derive(Debug)]
pub struct Stalled(pub(crate) String);

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stalled {}

/// Asks until the kernel is no longer busy, five times at most, two seconds apart.
///
/// # Errors
/// The kernel's; EBUSY after the last try.
pub fn with_retries(run: &Run<'_>, ask: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    for _ in 1..TRIES {
        match ask() {
            Err(Errno::BUSY) => {
                run.say.warn(format!("the kernel is busy ({}), retrying...", Errno::BUSY));
                run.kernel.sleep(BETWEEN_TRIES);
            }
            done => return done,
        }
    }
    ask()
}

/// The folder of a loaded module.
fn module_folder(run: &Run<'_>, name: &str) -> PathBuf {
    run.host.at("/sys/module").join(name)
}

/// Loads it and waits until it is in force; notes on the disk that it was tried, for the crash breaker, and has that looked
/// after. `breaker` is what its note holds.
///
/// # Errors
/// The kernel refuses it; another module of that name is loaded; [`Stalled`], after it was turned back.
pub fn load(run: &Run<'_>, ready: &Ready, breaker: &mut Breaker) -> Result<()> {
    if load_one_of_many(run, ready, breaker)? {
        watch::start(run);
    }
    Ok(())
}

/// The same for one of several, of which the caller has the last one looked after where this returns true.
///
/// # Errors
/// As [`load`].
pub fn load_one_of_many(run: &Run<'_>, ready: &Ready, breaker: &mut Breaker) -> Result<bool> {
    let name = ready.module.name.as_str();
    if livepatch::find(run.host, name)?.is_some_and(|p| p.enabled && !p.transition) {
        return put_in_force(run, ready).map(|()| false);
    }
    breaker::begin(run, breaker, name, ready.module.release().unwrap_or_default());
    let before = livepatch::names(run.host)?;
    let done = put_in_force(run, ready);
    if done.is_ok() {
        remove_replaced(run, &before);
    }
    // One in force that takes the place of no other leaves all attempts as they are.
    if done.is_err() || ready.module.manifest.as_ref().is_none_or(|manifest| manifest.replace) {
        breaker::ended(run, breaker, name)?;
    }
    done.map(|()| true)
}

fn put_in_force(run: &Run<'_>, ready: &Ready) -> Result<()> {
    let name = ready.module.name.as_str();
    ensure!(livepatch::is_there(run.host), "{}", livepatch::MISSING);
    match livepatch::find(run.host, name)? {
        Some(patch) => {
            same_build(run, ready)?;
            if patch.enabled {
                run.say.line(format!("module named {name} already loaded and enabled"));
            } else {
                run.say.line("module already loaded, re-enabling");
                transition::set_enabled(run, &patch, true)?;
            }
        }
        None => {
            if module_folder(run, name).exists() {
                // A live patch that was replaced or disabled stays in memory as a module.
                let _ = run.kernel.delete(name);
            }
            insert(run, ready)?;
        }
    }
    match transition::wait(run, name)? {
        End::Complete => in_force(run, name),
        End::Stalled => turn_back(run, name),
    }
}

/// That the kernel took it is not enough: it has to be there, and on.
fn in_force(run: &Run<'_>, name: &str) -> Result<()> {
    let patch = livepatch::find(run.host, name)?;
    ensure!(
        patch.as_ref().is_some_and(|p| p.enabled && !p.transition),
        "the kernel took module {name}, but {}/{name} does not show it as enabled: it is not in force; the kernel's log \
         (dmesg) may say why",
        livepatch::FOLDER
    );
    Ok(())
}

fn insert(run: &Run<'_>, ready: &Ready) -> Result<()> {
    let shown = run.host.show(&ready.path);
    ready.warnings.iter().for_each(|warning| run.say.warn(warning));
    trust::enforce(run)?;
    run.say.line(format!("loading patch module: {shown}"));
    let Err(errno) = with_retries(run, || run.kernel.load(&ready.path, &ready.file, &ready.bytes)) else {
        return Ok(());
    };
    if errno == Errno::NOSYS && !run.host.is_running_system() {
        bail!("{shown}: not loaded: {} is not the running system", run.host.root().display());
    }
    let (meaning, advice) = explain_load(errno, ready.module.signed);
    let busy = if errno == Errno::BUSY { transition::busy_with(run, &ready.module.name) } else { String::new() };
    bail!("{shown}: failed to load module: {meaning} ({errno}){busy}\n  what you can do: {advice}")
}

/// A module of the same name that is loaded has to be the same build: its GNU build id and its manifest are compared, as
/// far as both have one.
fn same_build(run: &Run<'_>, ready: &Ready) -> Result<()> {
    let name = ready.module.name.as_str();
    let notes = |section: &str| files::read(&module_folder(run, name).join("notes").join(section), LARGEST).ok();
    let loaded = notes(".note.gnu.build-id").and_then(|n| note::build_id(&n));
    let other_id = match (&loaded, &ready.module.build_id) {
        (Some(loaded), Some(here)) => loaded != here,
        _ => false,
    };
    let loaded = notes(manifest::SECTION).and_then(|n| manifest::of_section(&n).ok());
    let other_manifest = match (&loaded, &ready.module.manifest) {
        (Some(loaded), Some(here)) => loaded != here,
        _ => false,
    };
    ensure!(
        !other_id && !other_manifest,
        "{}: a module named {name} is loaded, but from another build of it: this one was not loaded\n  what you can do: \
         `kmend unload {name}` first, or give the new build a new name",
        run.host.show(&ready.path)
    );
    Ok(())
}

fn turn_back(run: &Run<'_>, name: &str) -> Result<()> {
    transition::show_blocking(run)?;
    run.say.line(format!("module {name} did not complete its transition, unloading..."));
    let patch =
        livepatch::find(run.host, name)?.with_context(|| format!("{name} is gone from {}", livepatch::FOLDER))?;
    disable(run, &patch)?;
    if transition::wait(run, name)? == End::Stalled {
        transition::show_blocking(run)?;
        return Err(Stalled(format!(
            "failed to load module {name} (transition stalled), and the way back stalls too: the kernel goes on with it by \
             itself; `kmend status` shows what it waits for"
        ))
        .into());
    }
    remove(run, name)?;
    Err(Stalled(format!(
        "failed to load module {name} (transition stalled): it was turned back, nothing of it is in force\n  what you can \
         do: end or restart the tasks above, then `kmend load {name}`"
    ))
    .into())
}

/// Turns a live patch off; what follows is its transition.
///
/// # Errors
/// The kernel refuses.
pub fn disable(run: &Run<'_>, patch: &Patch) -> Result<()> {
    if patch.enabled {
        run.say.line(format!("disabling patch module: {}", patch.name));
        transition::set_enabled(run, patch, false)?;
    }
    Ok(())
}

/// Unloads it: turned off, waited for, removed. One that is off already is removed.
///
/// # Errors
/// It is not loaded; the kernel refuses; [`Stalled`], with the transition under way.
pub fn unload(run: &Run<'_>, name: &str) -> Result<()> {
    match livepatch::find(run.host, name)? {
        Some(patch) => disable(run, &patch)?,
        None => {
            ensure!(module_folder(run, name).exists(), "patch module {name} is not loaded (`kmend list` shows what is)")
        }
    }
    if transition::wait(run, name)? == End::Stalled {
        transition::show_blocking(run)?;
        return Err(Stalled(format!(
            "transition stalled for {name}: the kernel goes on taking it back\n  what you can do: end or restart the tasks \
             above, then `kmend unload {name}` again; or `kmend load {name}` to keep it"
        ))
        .into());
    }
    remove(run, name)
}

/// Takes back a live patch whose transition may stall: the tasks that block are switched over by force then. The
/// kernel's documentation calls that dangerous, and the module stays in memory until a reboot.
///
/// # Errors
/// It is not loaded; the kernel refuses.
pub fn force_unload(run: &Run<'_>, name: &str) -> Result<()> {
    let Some(patch) = livepatch::find(run.host, name)? else { return unload(run, name) };
    disable(run, &patch)?;
    if transition::wait(run, name)? == End::Complete {
        return remove(run, name);
    }
    transition::show_blocking(run)?;
    force(run, name)
}

/// Has the kernel switch over by force the tasks that block the transition of `name`.
///
/// # Errors
/// This kernel cannot; it refuses; it is in transition even then.
pub fn force(run: &Run<'_>, name: &str) -> Result<()> {
    let file = livepatch::file(run.host, name, "force");
    ensure!(file.exists(), "{} is missing: this kernel cannot force a transition", run.host.show(&file));
    run.say.line(format!("forcing the transition of {name}"));
    let shown = run.host.show(&file);
    run.kernel.write(&file, "1").with_context(|| format!("cannot write 1 to {shown}"))?;
    let complete = transition::wait_for(run, name, REFERENCES)?;
    ensure!(complete, "{name} is in transition even after force: `kmend status` shows what it waits for");
    run.say.warn(format!(
        "the transition of {name} was forced: the module stays in memory until a reboot, as tasks may still run its code"
    ));
    Ok(())
}

/// Removes the modules of those live patches that are gone from the kernel's livepatch since `before`: another took
/// their place. The kernel lets go of them just after that. What it does not let go of, `list` and `status` name.
fn remove_replaced(run: &Run<'_>, before: &[String]) {
    let there = livepatch::names(run.host).unwrap_or_default();
    let folder = |name: &String| module_folder(run, name);
    let mut left: Vec<&String> = before.iter().filter(|n| !there.contains(n) && folder(n).exists()).collect();
    for _ in 0..RELEASES {
        let is_free =
            |name: &&&String| run.host.text(&folder(name).join("refcnt")).is_ok_and(|n| n.as_deref() == Some("0"));
        for name in left.iter().filter(is_free) {
            let _ = run.kernel.delete(name);
        }
        left.retain(|name| folder(name).exists());
        if left.is_empty() {
            return;
        }
        run.kernel.sleep(RELEASE);
    }
}

/// Removes a module that is no longer in force.
fn remove(run: &Run<'_>, name: &str) -> Result<()> {
    let folder = module_folder(run, name);
    if !folder.exists() {
        return Ok(());
    }
    let used = || Ok::<_, anyhow::Error>(run.host.text(&folder.join("refcnt"))?.is_some_and(|n| n != "0"));
    let mut waited = Duration::ZERO;
    while used()? {
        // The kernel lets go of it just after the transition: only what takes longer is worth a word.
        let step = Duration::from_millis(if waited < Duration::from_millis(500) { 10 } else { 100 });
        if waited == Duration::from_millis(500) {
            run.say.line(format!("waiting (up to {REFERENCES} seconds) for module refcount..."));
        }
        ensure!(
            waited < Duration::from_secs(REFERENCES),
            "failed to unload module {name} (refcnt): it is disabled, but something still uses it, and it stays in memory"
        );
        run.kernel.sleep(step);
        waited += step;
    }
    run.say.line(format!("unloading patch module: {name}"));
    match run.kernel.delete(name) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => bail!(
            "{name} is disabled and not in force, but its module stays in memory: {errno}\n  what you can do: a live patch \
             that was once forced stays until a reboot; else try `kmend unload {name}` again"
        ),
    }
}
