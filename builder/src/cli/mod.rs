// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line: one file a command; exit codes in one place.

pub mod build;
pub mod diff;
pub mod inspect;
pub mod target;

use crate::error::{DoesNotFit, NothingChanged, Refused};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Live patches for running Linux kernels: from a source fix to a proven module.
#[derive(Parser)]
#[command(name = "kmend-build", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Build(build::BuildArgs),
    Diff(diff::DiffArgs),
    Inspect(inspect::InspectArgs),
    /// Kernels to build live patches for
    Target(target::TargetArgs),
}

/// Runs the command line. Exit codes: 0 done, 1 error, 2 refused, 3 nothing changed.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Build(args) => build::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Target(args) => target::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kmend-build: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<Refused>().is_some() || error.downcast_ref::<DoesNotFit>().is_some() {
        2
    } else if error.downcast_ref::<NothingChanged>().is_some() {
        3
    } else {
        1
    }
}
