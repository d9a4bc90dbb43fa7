// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line: one file per command.

// The standard macros panic where nothing can be written; within this module these are in their place.
macro_rules! print {
    ($($what:tt)*) => { crate::cli::output::write(format_args!($($what)*)) };
}
macro_rules! print_json {
    ($text:expr) => {
        crate::cli::output::write_exactly(format_args!("{}\n", $text))
    };
}
macro_rules! println {
    ($($what:tt)*) => { print!("{}\n", format_args!($($what)*)) };
}

pub mod build;
mod cache;
pub mod diff;
pub mod inspect;
mod kernels;
mod kpatch_build;
pub mod manual;
mod names;
mod output;
mod patches;
pub mod prove;
mod report;
pub mod sign;
pub mod stream;
pub mod target;
mod trial;

use crate::error::Ending;
use anyhow::Result;
use clap::{Parser, Subcommand};
use kmend_shared::paint;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Live patches for running Linux kernels: from a source fix to a proven module.
#[derive(Parser)]
#[command(name = "kmend-build", version, propagate_version = true)]
struct Cli {
    /// The same as -V, as other tools have it
    #[arg(short = 'v', hide = true, action = clap::ArgAction::Version)]
    small_v: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Build(build::BuildArgs),
    Cache(cache::CacheArgs),
    Diff(diff::DiffArgs),
    Inspect(inspect::InspectArgs),
    /// The names of the targets, for the shells' completions
    #[command(hide = true)]
    Names,
    Prove(prove::ProveArgs),
    Sign(sign::SignArgs),
    Stream(stream::StreamArgs),
    /// Kernels to build live patches for
    Target(target::TargetArgs),
    Try(trial::TryArgs),
}

/// The command line, for those who write about it.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// The command line under the name kpatch-build.
pub fn kpatch_build_command() -> clap::Command {
    <kpatch_build::Args as clap::CommandFactory>::command()
}

/// Runs the command line. Exit codes are those of [`Ending`].
pub fn run() -> ExitCode {
    if kpatch_build::is_called(std::env::args_os().next().as_deref()) {
        return match kpatch_build::Args::try_parse() {
            Ok(args) => end(start(|| kpatch_build::run(&args))),
            Err(said) => usage(&said),
        };
    }
    match Cli::try_parse() {
        Ok(cli) => end(start(|| run_command(&cli.command))),
        Err(said) => usage(&said),
    }
}

fn start(run: impl FnOnce() -> Result<()>) -> Result<()> {
    // Before anything else is started.
    crate::sign::pin();
    run()
}

fn run_command(command: &Command) -> Result<()> {
    match command {
        Command::Build(args) => build::run(args),
        Command::Cache(args) => cache::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Names => names::run(),
        Command::Prove(args) => prove::run(args),
        Command::Sign(args) => sign::run(args),
        Command::Stream(args) => stream::run(args),
        Command::Target(args) => target::run(args),
        Command::Try(args) => trial::run(args),
    }
}

fn end(result: Result<()>) -> ExitCode {
    match result.and_then(|()| output::finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::from(Ending::of(&error).code())
        }
    }
}

/// Help and mistakes. A mistake is an error (1): clap's own code for it, 2, says here that a fix was refused.
fn usage(said: &clap::Error) -> ExitCode {
    if said.use_stderr() {
        // Where standard error cannot be written to, there is no one to tell.
        let _ = said.print();
        return ExitCode::FAILURE;
    }
    let text = said.render();
    // Its colours are no text from outside.
    match paint::wanted(std::io::stdout().is_terminal()) {
        true => output::write_exactly(format_args!("{}", text.ansi())),
        false => print!("{text}"),
    }
    match output::finish() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}
