// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build stream: one cumulative live patch after the other, for several kernels.

use super::kernels::{Results, Table};
use super::sign::SignWith;
use crate::error::BreaksLedger;
use crate::files;
use crate::pipeline::Outcome;
use crate::sign::Signer;
use crate::stream::build::{self, End};
use crate::stream::ledger::{self, Ledger};
use crate::stream::release::{self, Repository};
use crate::stream::values::{Cve, Version};
use crate::stream::{names, rules, Kernel, Release, Stream};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use kmend_packager::Key;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Streams of cumulative live patches
#[derive(Args)]
pub struct StreamArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(CheckArgs),
    Build(BuildArgs),
    Release(ReleaseArgs),
}

/// Check a stream file, as far as that goes without building.
///
/// Exit code 0: nothing is wrong; 1: the file is wrong; 2: its newest version drops what was released.
#[derive(Args)]
struct CheckArgs {
    /// The stream file (docs/streams.md)
    #[arg(value_name = "stream.toml")]
    file: PathBuf,
}

/// Build the live patches of one version, a module for each kernel.
///
/// Writes NAME.ko, NAME.rs and NAME.json of each. A kernel that is refused does not keep the others from being built.
/// Exit code 0: all are built; 1: an error; 2: the kernels that are left out were refused.
#[derive(Args)]
#[command(disable_version_flag = true)]
struct BuildArgs {
    /// The stream file (docs/streams.md)
    #[arg(value_name = "stream.toml")]
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Folder to write to
    #[arg(short, long, default_value = ".")]
    output: PathBuf,
    /// Print JSON instead of text; docs/streams.md has the fields
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sign: SignWith,
}

/// Build the live patches of one version, put them into packages in a repository, and enter them into the ledger.
///
/// The ledger is ledger.json beside the stream file: keep it with that. Run again, it does what is left to do.
/// Exit code 0: all is released; 1: an error; 2: the kernels that are left out were refused.
#[derive(Args)]
#[command(disable_version_flag = true)]
struct ReleaseArgs {
    /// The stream file (docs/streams.md)
    #[arg(value_name = "stream.toml")]
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The repository: a folder with packages and their index, made where it is missing
    #[arg(short, long, value_name = "REPO")]
    output: PathBuf,
    /// Sign packages and index with this OpenPGP secret key (ASCII-armored, without a passphrase)
    #[arg(long, value_name = "FILE")]
    gpg_key: Option<PathBuf>,
    /// Print JSON instead of text; docs/streams.md has the fields
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sign: SignWith,
}

/// Which version, for which kernels.
#[derive(Args)]
struct Which {
    /// Only for this kernel, named as in the stream file; may be given several times
    #[arg(short, long, value_name = "TARGET")]
    kernel: Vec<String>,
    /// The version [default: the newest of the file]
    #[arg(long = "version", value_name = "V-R")]
    wanted: Option<String>,
}

impl Which {
    fn of<'s>(&self, stream: &'s Stream) -> Result<(&'s Release, Vec<&'s Kernel>)> {
        let wanted = self.wanted.clone().map(|v| Version::try_from(v).map_err(anyhow::Error::msg)).transpose()?;
        let kernels = match self.kernel.as_slice() {
            [] => stream.kernels.iter().collect(),
            names => {
                names.iter().collect::<BTreeSet<_>>().into_iter().map(|n| stream.kernel(n)).collect::<Result<_>>()?
            }
        };
        Ok((stream.version(wanted)?, kernels))
    }
}

/// Runs the command.
pub fn run(args: &StreamArgs) -> Result<()> {
    match &args.command {
        Command::Check(args) => check(args),
        Command::Build(args) => build_all(args),
        Command::Release(args) => release_all(args),
    }
}

fn check(args: &CheckArgs) -> Result<()> {
    let stream = Stream::read(&args.file)?;
    let ledger = Ledger::read(&stream)?;
    let newest = stream.version(None)?;
    let mut table = Table::new(&["KERNEL", "MODULE", "FIXES", "CVES", "RELEASED"]);
    let mut refusals = Vec::new();
    for kernel in &stream.kernels {
        let fixes = stream.fixes(kernel, newest.version);
        let released = ledger.released(&kernel.target);
        refusals.extend(rules::fixes(&stream, kernel, newest, released));
        let module = match &kernel.release {
            Some(release) => names::module(release, newest.version)?,
            None => "not known: the target is not prepared here".into(),
        };
        let cves: BTreeSet<&Cve> = fixes.iter().flat_map(|(_, f)| &f.cves).collect();
        let last = released.last().map_or("none".into(), |e| e.version.to_string());
        table.row([kernel.target.clone(), module, fixes.len().to_string(), cves.len().to_string(), last]);
    }
    print!("{}", table.text());
    if !refusals.is_empty() {
        let (version, kernel) = (newest.version.to_string(), "the stream's kernels".into());
        return Err(BreaksLedger { version, kernel, refusals }.into());
    }
    println!("{}: version {} can be built", args.file.display(), newest.version);
    Ok(())
}

fn build_all(args: &BuildArgs) -> Result<()> {
    files::check_writable(&args.output)
        .with_context(|| format!("cannot write to the output folder {}", args.output.display()))?;
    let stream = Stream::read(&args.file)?;
    let ledger = Ledger::read(&stream)?;
    let (release, kernels) = args.which.of(&stream)?;
    let signer = args.sign.signer()?;
    let mut results = Results::new(&stream, release);
    for kernel in kernels {
        let end = build_one(&stream, kernel, release, &ledger);
        let end = end.and_then(|end| match &end {
            End::Built(outcome) => write(outcome, signer.as_ref(), &args.output).map(|()| end),
            _ => Ok(end),
        });
        results.add(kernel, end);
    }
    match args.json {
        true => print_json!(results.json()?.trim_end()),
        false => print!("{}", results.text()),
    }
    results.end()
}

fn release_all(args: &ReleaseArgs) -> Result<()> {
    files::check_writable(&args.output)
        .with_context(|| format!("cannot write to the repository {}", args.output.display()))?;
    let key = args.gpg_key.as_deref().map(Key::read).transpose()?;
    let repository = Repository { folder: &args.output, key: key.as_ref() };
    let stream = Stream::read(&args.file)?;
    let _lock = ledger::lock(&stream.path)?;
    let mut ledger = Ledger::read(&stream)?;
    let (release, kernels) = args.which.of(&stream)?;
    // What packages will want is asked for before anything is built.
    release::check(&stream)?;
    let signer = args.sign.signer()?;
    let mut results = Results::new(&stream, release);
    for kernel in kernels {
        let mut one = || {
            let end = build_one(&stream, kernel, release, &ledger)?;
            if let End::Built(outcome) = &end {
                let signed = signer.as_ref().map(|s| s.sign(&outcome.module, false)).transpose()?;
                let module = (&outcome.manifest, signed.as_ref().unwrap_or(&outcome.module).as_slice());
                release::release(&stream, kernel, release, module, &repository, &mut ledger)?;
            }
            Ok(end)
        };
        results.add(kernel, one());
    }
    release::index(&stream, &repository, &ledger)?;
    match args.json {
        true => print_json!(results.json()?.trim_end()),
        false => println!("{}{}", results.text(), args.output.display()),
    }
    results.end()
}

fn build_one(stream: &Stream, kernel: &Kernel, release: &Release, ledger: &Ledger) -> Result<End> {
    eprintln!("building {} {} for {}", stream.name, release.version, kernel.target);
    build::build(stream, kernel, release, ledger)
}

/// Writes a module and what belongs to it, signed where that is asked for.
fn write(outcome: &Outcome, signer: Option<&Signer>, dir: &Path) -> Result<()> {
    let mut all = build::files(outcome)?;
    if let Some(signer) = signer {
        let ko = all.iter_mut().find(|(end, _)| *end == "ko").map(|(_, bytes)| bytes).context("no module")?;
        *ko = signer.sign(ko, false)?;
    }
    let name = &outcome.manifest.name;
    let named: Vec<(PathBuf, &[u8])> =
        all.iter().map(|(end, bytes)| (dir.join(format!("{name}.{end}")), bytes.as_slice())).collect();
    files::write_together(&named)
}
