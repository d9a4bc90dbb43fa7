// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend uname: the running kernel and what is live in it, on one line.

use crate::live;
use crate::module::preflight::Kernel;
use crate::Run;
use anyhow::Result;
use clap::Args;

/// Arguments of `uname`.
#[derive(Args)]
pub struct UnameArgs {
    /// Print one word: the level in the manifest of the live patch in force, otherwise the output of `uname -r`
    #[arg(short = 'r', long)]
    release: bool,
}

/// Runs the command. Only what is in force for all tasks is named, only what manifests say is called a level.
pub fn run(run: &Run<'_>, args: &UnameArgs) -> Result<()> {
    let kernel = Kernel::running(run.host)?;
    let patches = live::read(run.host)?;
    let live = live::understand(&patches, &kernel);
    let level = live::level(&live);
    if args.release {
        run.say.line(level.unwrap_or(&kernel.release));
        return Ok(());
    }
    let names: Vec<&str> = live.iter().filter(|l| l.in_force()).map(|l| l.patch.name.as_str()).collect();
    let mut words = vec![kernel.release.clone()];
    if !names.is_empty() {
        words.push(format!("live={}", names.join(",")));
    }
    words.extend(level.map(|level| format!("level={level}")));
    run.say.line(words.join(" "));
    Ok(())
}
