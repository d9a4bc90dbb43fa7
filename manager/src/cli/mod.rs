// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line: one file a command; names, options and exit codes in one place.

mod cve;
mod forget;
mod info;
mod install;
mod list;
mod load;
pub mod manual;
mod monitor;
mod names;
mod status;
mod step_back;
mod subscribe;
mod transition;
mod uname;
mod unload;

use crate::host::elsewhere::Elsewhere;
use crate::host::kernel::{Kernel, Running};
use crate::host::Host;
use crate::say::{self, Say};
use crate::{breaker, Run};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The version of kpatch whose commands and lines these are; scripts that call `kpatch version` get it.
const KPATCH: &str = "0.9.11";

/// Installs, loads and watches the live patches on this host.
///
/// Exit codes: 0 done; 1 error. `kmend status` has more. When it is called as kpatch, it does the same.
#[derive(Parser)]
#[command(name = "kmend", disable_version_flag = true)]
struct Cli {
    /// Work on the system in another folder; modules are not loaded then
    #[arg(long, global = true, hide = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The same as `version`
    #[arg(short = 'v', short_alias = 'V', long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Show whether this host is patched, in one line, and then the details
    Status(status::StatusArgs),
    /// Show which CVEs are fixed on this host, live or by the kernel itself
    Cve(cve::CveArgs),
    /// Show which kernel runs, and which live patches are in force
    Uname(uname::UnameArgs),
    /// List loaded and installed live patches
    List,
    /// Install a live patch, so that it is loaded at boot
    Install(install::InstallArgs),
    /// Uninstall a live patch; what is loaded stays loaded
    Uninstall(install::InstallArgs),
    /// Load a live patch into the running kernel, or the newest installed one of each stream
    Load(Which),
    /// Remove a live patch from the running kernel, or all of them
    Unload(Which),
    /// Show information about a live patch: a file, or one that is installed or loaded
    Info(info::InfoArgs),
    /// Go back to an older installed version, now and at every boot
    StepBack(step_back::StepBackArgs),
    /// Load a live patch that was set aside after a crash, and load it at boot again
    Retry {
        /// Its name
        #[arg(value_name = "MODULE")]
        module: PathBuf,
    },
    /// Forget failed installs and loads, which `status` shows until they succeed
    Forget(Which),
    /// The names of loaded and installed live patches, for the shells' completions
    #[command(hide = true)]
    Names,
    /// Look whether loads are known to be good by now; systemd runs it
    #[command(hide = true)]
    Settle,
    /// Note that the host goes down in good order; systemd runs it
    #[command(hide = true)]
    ShutdownMark,
    /// Get live patches from the package repositories: automatically or by hand
    Subscribe(subscribe::SubscribeArgs),
    /// Show what the current transition waits for; wait for it, reverse it, or start it again
    Transition(transition::TransitionArgs),
    /// Signal the tasks that stall a transition, if the kernel does not do that itself
    Signal,
    /// Dangerous: unload or complete a transition although tasks stall it
    Force(ForceArgs),
    /// Show the version
    Version,
}

/// One module, or all.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// All of them
    #[arg(long)]
    all: bool,
    /// A .ko file, or the name of a module
    #[arg(value_name = "MODULE")]
    module: Option<PathBuf>,
}

#[derive(Args)]
struct ForceArgs {
    #[command(subcommand)]
    command: ForceCommand,
}

#[derive(Subcommand)]
enum ForceCommand {
    /// Unload a live patch; tasks that block this for 75 seconds are switched by force
    ///
    /// A task may then run old and new code at once. The module stays in memory until a reboot.
    Unload(Which),
    /// Complete the current transition; tasks that block it for 75 seconds are switched by force
    ///
    /// A task may then run old and new code at once. The module stays in memory until a reboot.
    Transition,
}

/// The command line, for what describes it: man pages, completions.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let called = std::env::args_os().next().map(PathBuf::from);
    let called = called.as_deref().and_then(Path::file_name).and_then(|n| n.to_str());
    let program = if called == Some("kpatch") { "kpatch" } else { "kmend" };
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            // clap's own code for a mistake is 2; kpatch's is 1.
            let code = if said.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            // It says the words that were typed: those that a terminal would obey are parsed once more, as they are shown.
            let typed = std::env::args_os().map(|arg| say::shown(&arg.to_string_lossy()).into_owned());
            let said = Cli::try_parse_from(typed).err().unwrap_or(said);
            return said.print().map_or(ExitCode::FAILURE, |()| code);
        }
    };
    let root = cli.root.clone().or_else(|| std::env::var_os("KMEND_ROOT").filter(|r| !r.is_empty()).map(PathBuf::from));
    let host = Host::new(root.unwrap_or_else(|| "/".into()));
    let kernel: Box<dyn Kernel> =
        if host.is_running_system() { Box::new(Running) } else { Box::new(Elsewhere::new(host.root())) };
    let say = Say::new(program);
    let result = run(&Run { host: &host, kernel: kernel.as_ref(), say: &say }, &cli, program);
    match result.and_then(|code| say.finish().map(|()| code)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say.warn(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(run: &Run<'_>, cli: &Cli, program: &str) -> Result<u8> {
    breaker::pass_by(run);
    match &cli.command {
        Some(Command::Version) => version(run, program),
        None if cli.version => version(run, program),
        None => {
            eprintln!("{}", command().render_help());
            return Ok(1);
        }
        Some(Command::Status(args)) => return status::run(run, args),
        Some(Command::Cve(args)) => return cve::run(run, args),
        Some(Command::Uname(args)) => uname::run(run, args)?,
        // Programs that call kpatch get what it has always said; people see all.
        Some(Command::List) => list::run(run, program != "kpatch" || std::io::stdout().is_terminal())?,
        Some(Command::Install(args)) => install::install(run, args)?,
        Some(Command::Uninstall(args)) => install::uninstall(run, args)?,
        Some(Command::Load(which)) => load::run(run, which)?,
        Some(Command::Unload(which)) => unload::run(run, which, unload::How::Plain)?,
        Some(Command::Force(ForceArgs { command: ForceCommand::Unload(which) })) => {
            unload::run(run, which, unload::How::Force)?;
        }
        Some(Command::Force(ForceArgs { command: ForceCommand::Transition })) => transition::force(run)?,
        Some(Command::Transition(args)) => transition::run(run, args)?,
        Some(Command::Info(args)) => info::run(run, args)?,
        Some(Command::Subscribe(args)) => subscribe::run(run, args)?,
        Some(Command::StepBack(args)) => step_back::run(run, args)?,
        Some(Command::Retry { module }) => load::retry(run, module)?,
        Some(Command::Forget(which)) => forget::run(run, which)?,
        Some(Command::Names) => names::run(run)?,
        Some(Command::Settle) => breaker::settle(run)?,
        Some(Command::ShutdownMark) => breaker::shutdown_mark(run)?,
        Some(Command::Signal) => crate::transition::signal(run)?,
    }
    Ok(0)
}

fn version(run: &Run<'_>, program: &str) {
    let own = env!("CARGO_PKG_VERSION");
    run.say.line(match program {
        "kpatch" => KPATCH.into(),
        _ => format!("kmend {own} (commands of kpatch {KPATCH})"),
    });
}
