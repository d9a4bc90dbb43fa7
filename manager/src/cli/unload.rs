// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend unload and force unload: one live patch, or all.

use super::Which;
use crate::host::livepatch::{self, State};
use crate::host::lock;
use crate::live;
use crate::load::{force_unload, unload};
use crate::module::manifest::Manifest;
use crate::{breaker, order, step, Run};
use anyhow::{bail, ensure, Result};

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// What the kernel does by itself.
    Plain,
    /// Tasks that block are switched over by force.
    Force,
}

/// Runs the command.
pub fn run(run: &Run<'_>, which: &Which, how: How) -> Result<()> {
    let (doing, action): (_, fn(&Run<'_>, &str) -> Result<()>) = match how {
        How::Plain => ("unload", unload),
        How::Force => ("force unload", force_unload),
    };
    let Some(module) = &which.module else {
        let _lock = lock::take(run, &format!("{doing} --all"), false)?;
        let done = all(run, action).and_then(|()| replaced(run));
        breaker::all_ended(run)?;
        return done;
    };
    let text = module.file_name().unwrap_or_default().to_string_lossy();
    let name = order::module_name(&text);
    ensure!(order::is_module_name(&name), "{} is not the name of a module", module.display());
    let _lock = lock::take(run, doing, false)?;
    let before = in_force(run, &name)?;
    let done = action(run, &name);
    if done.is_ok() {
        step::tell_lost(run, before.as_ref());
    }
    breaker::all_ended(run)?;
    done
}

/// What a live patch claims that is in force, or has been until its way out began.
fn in_force(run: &Run<'_>, name: &str) -> Result<Option<Manifest>> {
    let patch = livepatch::find(run.host, name)?;
    let was = patch.is_some_and(|patch| matches!(patch.state(), State::Enabled | State::Disabling));
    Ok(if was { step::loaded(run.host, name) } else { None })
}

/// Modules of live patches that were replaced or disabled, and that nothing uses.
fn replaced(run: &Run<'_>) -> Result<()> {
    let is_there = |name: &String| run.host.at("/sys/module").join(name).exists();
    for name in live::left(run.host)?.replaced.into_iter().filter(is_there) {
        unload(run, &name)?;
    }
    Ok(())
}

/// The newest first: kernels before 5.1 want them back in that order. Where the kernel does not tell the order, all are
/// tried until none goes any more.
fn all(run: &Run<'_>, action: fn(&Run<'_>, &str) -> Result<()>) -> Result<()> {
    loop {
        let mut patches = livepatch::all(run.host)?;
        patches.sort_by_key(|p| std::cmp::Reverse(p.stack_order));
        let mut gone = 0;
        let mut faults = Vec::new();
        for patch in &patches {
            let before = in_force(run, &patch.name)?;
            match action(run, &patch.name) {
                Ok(()) => {
                    gone += 1;
                    step::tell_lost(run, before.as_ref());
                }
                Err(error) => faults.push(format!("failed to unload module {}: {error:#}", patch.name)),
            }
        }
        let left = livepatch::all(run.host)?.into_iter().filter(|p| p.enabled || p.transition).count();
        if faults.is_empty() || gone == 0 || left == 0 {
            faults.iter().for_each(|fault| run.say.warn(fault));
            match faults.len() {
                0 => return Ok(()),
                n => bail!("{n} of {} live patches could not be unloaded", patches.len()),
            }
        }
    }
}
