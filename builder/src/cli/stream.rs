// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build stream: one cumulative live patch after the other, for several kernels.

use super::kernels::{Results, Table};
use super::sign::SignWith;
use crate::error::BreaksLedger;
use crate::files;
use crate::pipeline::Outcome;
use crate::sign::Signer;
use crate::stream::build::{self, End};
use crate::stream::index::{self, Other};
use crate::stream::ledger::{self, Ledger};
use crate::stream::release::{self, Repository};
use crate::stream::values::{Cve, Version};
use crate::stream::{contents, names, rules, Kernel, Release, Stream};
use anyhow::{ensure, Context, Result};
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
    Renew(RenewArgs),
}

/// Check a stream file without building anything.
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
/// Writes NAME.ko, NAME.rs and NAME.json for each kernel. A kernel that is refused does not stop the others.
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
/// The ledger is ledger.json beside the stream file: keep it with that. If it is run again, it does only what remains to be done.
/// Exit code 0: all is released; 1: an error; 2: the kernels that are left out were refused.
#[derive(Args)]
#[command(disable_version_flag = true)]
struct ReleaseArgs {
    /// The stream file (docs/streams.md)
    #[arg(value_name = "stream.toml")]
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    place: Place,
    /// Build released packages that are missing in the repository again
    #[arg(long)]
    restore: bool,
    /// Print JSON instead of text; docs/streams.md has the fields
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sign: SignWith,
}

/// Write the index of a repository again, with a new date and a new expiry date, without building anything.
///
/// Hosts refuse an index past its end (`valid_days` of the stream file): run this from a timer.
/// Exit code 0: done; 1: an error; 2: the repository is not as it was released.
#[derive(Args)]
struct RenewArgs {
    /// The stream file (docs/streams.md)
    #[arg(value_name = "stream.toml")]
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// The repository.
#[derive(Args)]
struct Place {
    /// The repository: a folder with packages and their index, created if it does not exist
    #[arg(short, long, value_name = "REPO")]
    output: PathBuf,
    /// Sign packages and index with the OpenPGP secret key in this file (without a passphrase)
    #[arg(long, value_name = "FILE")]
    gpg_key: Option<PathBuf>,
    /// From now on, leave this repository unsigned, although it was signed
    #[arg(long, conflicts_with = "gpg_key")]
    unsigned: bool,
    /// The stream file of another stream in the same repository; can be given several times
    #[arg(long, value_name = "FILE")]
    other_stream: Vec<PathBuf>,
    /// Enter a package of the repository that the ledger does not know, by its file name; can be given several times
    #[arg(long, value_name = "NAME")]
    adopt: Vec<String>,
}

/// Which version, for which kernels.
#[derive(Args)]
struct Which {
    /// Only for this kernel, named as in the stream file; can be given several times
    #[arg(short, long, value_name = "TARGET")]
    kernel: Vec<String>,
    /// The version [default: the newest in the file]
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
        Command::Renew(args) => renew(args),
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

/// A stream and the repository that it is released into, both locked.
struct Site<'a> {
    stream: Stream,
    ledger: Ledger,
    others: Vec<Other>,
    before: kmend_packager::Before,
    repository: Repository<'a>,
    _locks: [files::Lock; 2],
}

impl<'a> Site<'a> {
    /// Reads all that is needed, and checks what can be checked before anything is built.
    fn open(file: &Path, place: &'a Place, key: Option<&'a Key>) -> Result<Self> {
        let folder = place.output.as_path();
        files::check_writable(folder)
            .with_context(|| format!("cannot write to the repository {}", folder.display()))?;
        let repository = Repository { folder, key, unsigned: place.unsigned, stream: file.into() };
        let stream = Stream::read(file)?;
        // What packages will want is asked for before anything is made.
        release::check(&stream)?;
        files::make_readable_dir(folder)?;
        // The repository's first: all streams in it take it in this order.
        let of_repository = files::lock(&folder.join(".kmend.lock"), "releases into this repository")?;
        let of_stream = ledger::lock(&stream.path)?;
        let mut ledger = Ledger::read(&stream)?;
        let others = place.other_stream.iter().map(|file| other(&stream, file)).collect::<Result<Vec<_>>>()?;
        let mut all = vec![&ledger];
        all.extend(others.iter().map(|(_, ledger)| ledger));
        let before = index::check(&repository, &all)?;
        adopt(&mut ledger, &stream, place)?;
        Ok(Self { stream, ledger, others, before, repository, _locks: [of_repository, of_stream] })
    }

    /// Compares the ledgers with the repository, where `made` may be missing or there.
    fn compare(&self, made: &BTreeSet<String>) -> Result<()> {
        let mut made = made.clone();
        made.extend(index::empty_packages(&self.stream)?);
        let mut all = vec![&self.ledger];
        all.extend(self.others.iter().map(|(_, ledger)| ledger));
        contents::check(self.repository.folder, &all, &made, self.repository.key)
    }

    /// Makes the index, once nothing lies there that should not.
    fn publish(&mut self) -> Result<()> {
        self.compare(&BTreeSet::new())?;
        let Self { stream, ledger, others, before, repository, .. } = self;
        let dates = index::publish(stream, ledger, others, before, repository)?;
        let until = dates.valid_until.map_or("for ever".into(), |until| format!("until {}", index::shown(until)));
        eprintln!("the index is dated {} and valid {until}", index::shown(dates.date));
        Ok(())
    }
}

fn other(stream: &Stream, file: &Path) -> Result<Other> {
    let other = Stream::read(file)?;
    ensure!(other.name != stream.name, "--other-stream {}: it is named {} as well", file.display(), stream.name);
    release::check(&other)?;
    let both = &index::empty_packages(stream)? & &index::empty_packages(&other)?;
    ensure!(
        both.is_empty(),
        "the streams {} and {} are both for one kernel ({}): its hosts would get the one or the other; take it out of one of \
         them, or release them into repositories of their own",
        stream.name,
        other.name,
        Vec::from_iter(both).join(", ")
    );
    let ledger = Ledger::read(&other)?;
    Ok((other, ledger))
}

/// Enters what the operator adopts. An older kmend-build wrote down neither 0-0 nor metapackages: those that are there are
/// adopted, and named.
fn adopt(ledger: &mut Ledger, stream: &Stream, place: &Place) -> Result<()> {
    let mut names = place.adopt.clone();
    if ledger.others.is_none() {
        let empty = index::empty_packages(stream)?;
        let is_ours = |name: &String| empty.contains(name) || name.starts_with("kpatch-patches-");
        let found: Vec<String> = contents::packages(&place.output)?.into_iter().filter(is_ours).collect();
        found
            .iter()
            .for_each(|name| eprintln!("entering {name} into the ledger, which an older kmend-build did not do"));
        names.extend(found);
        ledger.others = Some(Vec::new());
    }
    for name in names.into_iter().filter(|name| !ledger.knows(name)).collect::<Vec<_>>() {
        ledger.enter_other(contents::facts(&place.output, &name)?);
    }
    ledger.write(&stream.path)
}

fn renew(args: &RenewArgs) -> Result<()> {
    let key = args.place.gpg_key.as_deref().map(Key::read).transpose()?;
    let mut site = Site::open(&args.file, &args.place, key.as_ref())?;
    site.publish()?;
    println!("{}", args.place.output.display());
    Ok(())
}

fn release_all(args: &ReleaseArgs) -> Result<()> {
    let key = args.place.gpg_key.as_deref().map(Key::read).transpose()?;
    let mut site = Site::open(&args.file, &args.place, key.as_ref())?;
    let stream = site.stream.clone();
    let (release, kernels) = args.which.of(&stream)?;
    let signer = args.sign.signer()?;
    let mut jobs: Vec<(&Kernel, &Release)> = Vec::new();
    if args.restore {
        jobs.extend(restore(&stream, &mut site.ledger, &args.place.output)?);
    }
    jobs.retain(|(kernel, old)| old.version != release.version || !kernels.iter().any(|k| k.target == kernel.target));
    let again = jobs.len();
    jobs.extend(kernels.iter().map(|kernel| (*kernel, release)));
    let mut made = BTreeSet::new();
    for (kernel, release) in &jobs {
        made.extend(release::file_names(&stream, &[kernel], release)?);
    }
    site.compare(&made)?;
    let mut results = Results::new(&stream, release);
    for (at, (kernel, release)) in jobs.into_iter().enumerate() {
        let mut one = || {
            let end = build_one(&stream, kernel, release, &site.ledger)?;
            if let End::Built(outcome) = &end {
                let signed = signer.as_ref().map(|s| s.sign(&outcome.module, false)).transpose()?;
                let module = (&outcome.manifest, signed.as_ref().unwrap_or(&outcome.module).as_slice());
                release::release(&stream, kernel, release, module, &site.repository, &mut site.ledger)?;
            }
            Ok(end)
        };
        let end = one();
        match end {
            Ok(_) if at < again => {}
            end => results.add(kernel, end),
        }
    }
    site.publish()?;
    match args.json {
        true => print_json!(results.json()?.trim_end()),
        false => println!("{}{}", results.text(), args.place.output.display()),
    }
    results.end()
}

/// What was released and is missing in `folder`: kernels and versions. Packages that belong to no version are made anew, or were
/// replaced by later ones: the ledger forgets them.
fn restore<'s>(stream: &'s Stream, ledger: &mut Ledger, folder: &Path) -> Result<Vec<(&'s Kernel, &'s Release)>> {
    let is_missing = |file: &str| std::fs::symlink_metadata(folder.join(file)).is_err();
    let mut missing = Vec::new();
    for kernel in &stream.kernels {
        let entries = ledger.released(&kernel.target).iter();
        for entry in entries.filter(|e| e.packages.iter().any(|p| is_missing(&p.file))) {
            missing.push((kernel, stream.version(Some(entry.version))?));
        }
    }
    ledger.others.iter_mut().for_each(|others| others.retain(|p| !is_missing(&p.file)));
    Ok(missing)
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
