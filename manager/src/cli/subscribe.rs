// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend subscribe: live patches from the package repositories, in the verbs of `dnf kpatch`.

use crate::{subscribe, Run};
use anyhow::Result;
use clap::{Args, Subcommand};

/// Arguments of `subscribe`.
#[derive(Args)]
pub struct SubscribeArgs {
    #[command(subcommand)]
    command: SubscribeCommand,
}

/// What is done.
#[derive(Subcommand)]
pub enum SubscribeCommand {
    /// Install live patches with the system's updates, for each kernel: installs the package kpatch-patches, or with apt enables
    /// kmend-subscribe.timer
    #[command(alias = "auto-update")]
    Auto,
    /// Install none automatically: removes that package, or disables the timer; installed live patches stay
    #[command(alias = "manual-update")]
    Manual,
    /// Install the newest live patch of each kernel on this host, once
    Install {
        /// Only for kernels that have none; kmend-subscribe.timer runs this
        #[arg(long)]
        missing: bool,
    },
    /// Show the setting, and which live patches are available for the kernels on this host
    Status,
    /// Check the repositories for new versions, for `kmend status`; kmend-check.timer runs this once a day
    Check,
}

/// Runs the command.
pub fn run(run: &Run<'_>, args: &SubscribeArgs) -> Result<()> {
    match args.command {
        SubscribeCommand::Auto => subscribe::auto(run),
        SubscribeCommand::Manual => subscribe::manual(run),
        SubscribeCommand::Install { missing } => subscribe::install(run, missing),
        SubscribeCommand::Status => subscribe::status(run),
        SubscribeCommand::Check => subscribe::check(run),
    }
}
