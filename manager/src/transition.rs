// SPDX-License-Identifier: GPL-2.0-or-later
//! A live patch's transition: watched until the kernel has switched all tasks over, hurried on, turned back.
//!
//! The kernel switches a task when it leaves the kernel, or sleeps in it with no patched function on its stack
//! (Documentation/livepatch/livepatch.rst, "Consistency model"). One that sleeps in a patched function blocks.

use crate::host::livepatch::{self, Patch};
use crate::host::tasks::{self, Task};
use crate::Run;
use anyhow::{bail, Context, Result};
use std::time::Duration;

/// How long a transition is waited for before the tasks are signalled, seconds, as in kpatch.
pub const BEFORE_SIGNAL: u64 = 15;
/// How long after that.
const AFTER_SIGNAL: u64 = 60;

/// How a transition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All tasks are switched over, or there was no transition.
    Complete,
    /// Not within the time.
    Stalled,
}

/// Waits for the transition of `name`: 15 seconds, then the tasks are signalled, then 60 more.
///
/// # Errors
/// sysfs says what it never should.
pub fn wait(run: &Run<'_>, name: &str) -> Result<End> {
    if !runs(run, name)? || wait_for(run, name, BEFORE_SIGNAL)? {
        return Ok(End::Complete);
    }
    run.say.line("patch transition has stalled!");
    signal(run)?;
    Ok(if wait_for(run, name, AFTER_SIGNAL)? { End::Complete } else { End::Stalled })
}

/// Whether it was complete within that many seconds.
pub fn wait_for(run: &Run<'_>, name: &str, seconds: u64) -> Result<bool> {
    run.say.line(format!("waiting (up to {seconds} seconds) for patch transition to complete..."));
    let mut waited = Duration::ZERO;
    while waited < Duration::from_secs(seconds) {
        // Most end within the first tenths of a second.
        let step = Duration::from_millis(if waited < Duration::from_millis(500) { 10 } else { 100 });
        run.kernel.sleep(step);
        waited += step;
        if !runs(run, name)? {
            run.say.line(format!("transition complete ({} seconds)", waited.as_secs()));
            return Ok(true);
        }
    }
    Ok(false)
}

fn runs(run: &Run<'_>, name: &str) -> Result<bool> {
    // A live patch that was taken back goes away when its transition ends.
    Ok(livepatch::find(run.host, name)?.is_some_and(|patch| patch.transition))
}

/// Signals the tasks that block the transition under way, where there is one and the kernel leaves it to us: by 1 to
/// `signal` of the live patch. Kernels from 5.1 on do it themselves after 15 seconds and have no such file.
///
/// # Errors
/// The file is there and cannot be written to.
pub fn signal(run: &Run<'_>) -> Result<()> {
    let Some(patch) = livepatch::in_transition(run.host)? else { return Ok(()) };
    let file = livepatch::file(run.host, &patch.name, "signal");
    if file.exists() {
        run.say.line("signaling stalled process(es):");
        let shown = run.host.show(&file);
        return run.kernel.write(&file, "1").with_context(|| format!("cannot write 1 to {shown}"));
    }
    run.say.warn("Livepatch process signaling is performed automatically on your system.");
    run.say.warn("Skipping manual process signaling.");
    Ok(())
}

/// Says which tasks block the transition under way, where there is one.
///
/// # Errors
/// /proc or sysfs cannot be listed.
pub fn show_blocking(run: &Run<'_>) -> Result<()> {
    let Some(patch) = livepatch::in_transition(run.host)? else { return Ok(()) };
    run.say.line("");
    run.say.line("Stalled processes:");
    let tasks = tasks::blocking(run.host, &patch)?;
    if tasks.is_empty() {
        run.say.line(NONE_BLOCKS);
    }
    for line in tasks.iter().flat_map(Task::lines) {
        run.say.line(line);
    }
    Ok(())
}

/// Shows which tasks block, and makes the error.
///
/// # Errors
/// As [`show_blocking`].
pub fn stalled(run: &Run<'_>, text: String) -> Result<anyhow::Error> {
    show_blocking(run)?;
    Ok(crate::load::Stalled(text).into())
}

/// Idle tasks (swapper) are in no /proc.
const NONE_BLOCKS: &str = "none that /proc shows just now (idle tasks are not shown there)";

/// Turns the live patch on (`1`) or off (`0`). During its transition that turns it around.
///
/// # Errors
/// The kernel refuses, or stays busy through all tries.
pub fn set_enabled(run: &Run<'_>, patch: &Patch, on: bool) -> Result<()> {
    let file = livepatch::file(run.host, &patch.name, "enabled");
    let value = if on { "1" } else { "0" };
    let outcome = crate::load::with_retries(run, || run.kernel.write(&file, value));
    let verb = if on { "enable" } else { "disable" };
    match outcome {
        Ok(()) => Ok(()),
        Err(errno) => {
            let busy = if errno == rustix::io::Errno::BUSY { busy_with(run, &patch.name) } else { String::new() };
            bail!(
                "cannot {verb} {}: writing {value} to {} failed: {errno}{busy}\n  what you can do: run this as root; \
                 the kernel's log (dmesg) has its reason",
                patch.name,
                run.host.show(&file)
            )
        }
    }
}

/// What makes livepatch busy, in words for the end of a message.
pub fn busy_with(run: &Run<'_>, name: &str) -> String {
    match livepatch::in_transition(run.host) {
        Ok(Some(other)) if other.name != name => {
            format!(" ({} is in transition; `kmend status` shows which tasks it waits for)", other.name)
        }
        _ => String::new(),
    }
}
