// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend transition: what the transition under way waits for, and what can be done about it.

use crate::host::livepatch::{self, Patch};
use crate::host::{lock, owner, store, tasks};
use crate::module::preflight::{check, Kernel};
use crate::transition::{self, End};
use crate::{breaker, load, Run};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};

/// Arguments of `transition`.
#[derive(Args)]
pub struct TransitionArgs {
    #[command(subcommand)]
    command: Option<TransitionCommand>,
}

/// What is done; without a word it is shown.
#[derive(Subcommand)]
pub enum TransitionCommand {
    /// Show which tasks it waits for, where they are, and what can be done
    Show,
    /// Wait until it is complete; exit code 1 if it takes longer
    Wait {
        /// How long to wait, in seconds
        #[arg(long, value_name = "S", default_value_t = 60)]
        timeout: u64,
    },
    /// Signal the tasks that stall it, if the kernel does not do that itself
    Signal,
    /// Reverse it, then start it again
    Retry,
    /// Reverse it: a live patch that was being loaded is unloaded, and the other way round
    RollBack,
}

/// Runs the command.
pub fn run(run: &Run<'_>, args: &TransitionArgs) -> Result<()> {
    match &args.command {
        None | Some(TransitionCommand::Show) => show(run),
        Some(TransitionCommand::Wait { timeout }) => wait(run, *timeout),
        Some(TransitionCommand::Signal) => transition::signal(run),
        Some(TransitionCommand::Retry) => changed(run, "transition retry", retry),
        Some(TransitionCommand::RollBack) => changed(run, "transition roll-back", roll_back),
    }
}

/// Runs `force transition`.
pub fn force(run: &Run<'_>) -> Result<()> {
    changed(run, "force transition", |run, patch| {
        if transition::wait(run, &patch.name)? == End::Complete {
            return Ok(());
        }
        transition::show_blocking(run)?;
        load::force(run, &patch.name)
    })
}

const NONE: &str = "no transition is under way";

/// What changes something holds the lock.
fn changed(run: &Run<'_>, doing: &str, action: impl Fn(&Run<'_>, &Patch) -> Result<()>) -> Result<()> {
    let _lock = lock::take(run, doing, false)?;
    let Some(patch) = livepatch::in_transition(run.host)? else {
        run.say.line(NONE);
        return Ok(());
    };
    let done = action(run, &patch);
    breaker::all_ended(run)?;
    done
}

fn show(run: &Run<'_>) -> Result<()> {
    let Some(patch) = livepatch::in_transition(run.host)? else {
        run.say.line(NONE);
        return Ok(());
    };
    let tasks = tasks::blocking(run.host, &patch)?;
    let direction = if patch.enabled { "put in force" } else { "taken back" };
    let count = match tasks.len() {
        0 => "no task that /proc shows blocks it (idle tasks are not shown there)".into(),
        1 => "1 task is not switched over".into(),
        n => format!("{n} tasks are not switched over"),
    };
    run.say.line(format!("{} is being {direction}: {count}", patch.name));
    for task in &tasks {
        run.say.line("");
        let lines = task.lines();
        let at = lines.iter().position(|line| line == "stack:").unwrap_or(lines.len());
        let advice = owner::of(run.host, task.pid).map(|o| o.advice()).unwrap_or_default();
        lines[..at].iter().chain(&advice).chain(&lines[at..]).for_each(|line| run.say.line(line));
    }
    run.say.line("");
    run.say.line(
        "`kmend transition wait` waits on, `roll-back` turns it back, `retry` does that and begins again; \
         `kmend force transition` is dangerous",
    );
    Ok(())
}

fn wait(run: &Run<'_>, timeout: u64) -> Result<()> {
    let Some(patch) = livepatch::in_transition(run.host)? else {
        run.say.line(NONE);
        return Ok(());
    };
    if transition::wait_for(run, &patch.name, timeout)? {
        return Ok(());
    }
    Err(transition::stalled(
        run,
        format!("{} is still in transition after {timeout} seconds; `kmend transition` says why", patch.name),
    )?)
}

fn roll_back(run: &Run<'_>, patch: &Patch) -> Result<()> {
    run.say.line(format!("turning the transition of {} back", patch.name));
    if patch.enabled {
        return load::unload(run, &patch.name);
    }
    transition::set_enabled(run, patch, true)?;
    match transition::wait(run, &patch.name)? {
        End::Complete => Ok(()),
        End::Stalled => Err(transition::stalled(
            run,
            format!("{} is still on its way back in; `kmend transition` says why", patch.name),
        )?),
    }
}

fn retry(run: &Run<'_>, patch: &Patch) -> Result<()> {
    let name = patch.name.as_str();
    run.say.line(format!("turning the transition of {name} back, to begin it again"));
    transition::set_enabled(run, patch, !patch.enabled)?;
    if !transition::wait_for(run, name, transition::BEFORE_SIGNAL)? {
        // The way back waits for tasks, too: those that have been switched over. It is turned around once more.
        transition::set_enabled(run, patch, patch.enabled)?;
        return match transition::wait(run, name)? {
            End::Complete => Ok(()),
            End::Stalled => {
                Err(transition::stalled(run, format!("{name} is still in transition; `kmend transition` says why"))?)
            }
        };
    }
    if !patch.enabled {
        return load::unload(run, name);
    }
    let kernel = Kernel::running(run.host)?;
    let installed = store::find_with_kept(run.host, &kernel.release, name)?.with_context(|| {
        format!(
            "{name} was turned back and is not in force; its file is not installed for {}, so that it cannot be loaded \
             again from here\n  what you can do: `kmend load FILE.ko`",
            kernel.release
        )
    })?;
    load::load(run, &check(run.host, &installed.path, &kernel)?, &mut breaker::read(run))
}
