// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build stream: one cumulative live patch after the other, for several kernels.

mod answer;
mod edit;
mod plan;
mod release;
mod side;
mod site;

use super::kernels::{complain, Results, Table};
use super::sign::SignWith;
use crate::error::Ended;
use crate::pipeline::Outcome;
use crate::sign::Signer;
use crate::stream::engines::Engine;
use crate::stream::ledger::Ledger;
use crate::stream::values::{Cve, Version};
use crate::stream::{names, rules, Kernel, Release, Stream};
use crate::trial::Wishes;
use crate::{files, parallel};
use answer::{give, Answer};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use kmend_packager::Key;
use serde::Serialize;
use site::Site;
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
    Init(InitArgs),
    Add(AddArgs),
    Check(CheckArgs),
    Plan(PlanArgs),
    Build(BuildArgs),
    Assemble(AssembleArgs),
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
    /// Print JSON instead of text; docs/farm.md has the fields
    #[arg(long)]
    json: bool,
}

/// Print the jobs of one version, one for each kernel, without building anything.
///
/// Needs no prepared target. Each job is a command line that runs on any machine with the stream's folder and that target; `assemble`
/// takes the results (docs/farm.md).
/// Exit code 0: there is work to do; 1: an error; 2: the version drops what was released; 3: there is nothing to build.
#[derive(Args)]
#[command(disable_version_flag = true)]
struct PlanArgs {
    /// The stream file (docs/streams.md)
    #[arg(value_name = "stream.toml")]
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Print the jobs as this engine takes them
    #[arg(long, value_enum, value_name = "ENGINE", conflicts_with = "json")]
    format: Option<Engine>,
    /// At most N jobs; where there are more kernels, some share a job [default: as many as the engine takes]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_jobs: Option<usize>,
    /// The folder that the jobs write their results to
    #[arg(long, value_name = "DIR", default_value = "results")]
    into: PathBuf,
    /// Have each job try its live patch in a guest of its kernel, which takes QEMU on the workers (docs/try.md)
    #[arg(long = "try")]
    tried: bool,
    /// A folder of earlier results: what has one of the same input is not built again, and times are estimated by them; can be given
    /// several times
    #[arg(long, value_name = "DIR")]
    results: Vec<PathBuf>,
    /// Print JSON instead of text; docs/farm.md has the fields
    #[arg(long)]
    json: bool,
}

/// Sign, pack and publish the results of jobs, and enter them into the ledger.
///
/// The one step that has keys and writes the ledger. Each job of the plan needs a result of the same input; each module is read again and
/// compared with the stream file, the ledger and the kernel. Where anything is wrong, nothing is released.
/// Exit code 0: all is released; 1: an error; 2: results cannot be used, or the kernels that are left out were refused.
#[derive(Args)]
#[command(disable_version_flag = true)]
struct AssembleArgs {
    /// The stream file (docs/streams.md)
    #[arg(value_name = "stream.toml")]
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    /// A folder of results, as jobs have written it; can be given several times
    #[arg(long, value_name = "DIR", required = true)]
    results: Vec<PathBuf>,
    /// Want two results of each job, from different machines, that agree byte for byte
    #[arg(long)]
    twice: bool,
    /// Want each live patch tried in a guest, and passed: this very module, with the kernel of this target, by this kmend-build
    #[arg(long)]
    require_try: bool,
    #[command(flatten)]
    place: Place,
    /// Print JSON instead of text; docs/farm.md has the fields
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sign: SignWith,
}

/// Build the live patches of one version, a module for each kernel.
///
/// Writes NAME.ko, NAME.rs and NAME.json for each kernel; with --result, a job's result (docs/farm.md). A kernel that is refused does not
/// stop the others.
/// Exit code 0: all are built; 1: an error; 2: the kernels that are left out were refused. With --result, a refusal is a result: 0; 4: a
/// guest showed a fault of a live patch.
#[derive(Args)]
#[command(disable_version_flag = true)]
struct BuildArgs {
    /// The stream file (docs/streams.md)
    #[arg(value_name = "stream.toml")]
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Folder to write to
    #[arg(short, long, default_value = ".", conflicts_with = "result")]
    output: PathBuf,
    /// Run as a job: write module, source, manifest, report, log and result.json into a folder for each kernel in DIR
    #[arg(long, value_name = "DIR", conflicts_with = "sign_key")]
    result: Option<PathBuf>,
    /// The sum of the job's input, as the plan has it: refuse to build from anything else. One for each kernel
    #[arg(long, value_name = "SHA256", requires = "result")]
    input: Vec<String>,
    /// Try each live patch in a guest of its kernel, as `kmend-build try` does
    #[arg(long = "try", requires = "result")]
    tried: bool,
    /// Compile on at most N processors at a time [default: all that this process may use]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    processors: Option<usize>,
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
    /// Build N kernels side by side; each takes as much memory as it takes by itself
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    jobs: usize,
    /// Print JSON instead of text; docs/streams.md has the fields
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sign: SignWith,
}

/// Write a new stream file.
///
/// It has remarks that say what comes where; `add` adds the fixes.
#[derive(Args)]
struct InitArgs {
    /// The file to write
    #[arg(value_name = "stream.toml")]
    file: PathBuf,
    /// The stream's name [default: the folder's]
    #[arg(long)]
    name: Option<String>,
    /// Who packs it, for changelogs
    #[arg(long, value_name = "NAME <MAIL>")]
    packager: String,
    /// A page about the live patches
    #[arg(long)]
    url: Option<String>,
    /// A kernel, by the whole name of its target; can be given several times
    #[arg(short, long, value_name = "TARGET", required = true)]
    kernel: Vec<String>,
}

/// Add fixes to a stream file.
///
/// They go into its last version, or into a new one if that is released. Text is added at the file's end; what is there stays as it
/// is. A patch that is not in the stream's folder is copied there. What a message says of titles and CVEs is offered in remarks.
#[derive(Args)]
#[command(disable_version_flag = true)]
struct AddArgs {
    /// The stream file (docs/streams.md)
    #[arg(value_name = "stream.toml")]
    file: PathBuf,
    /// The patches, a fix each
    #[arg(value_name = "FIX.patch", required_unless_present = "from_git", conflicts_with = "from_git")]
    patches: Vec<PathBuf>,
    /// Add the commits of RANGE in the git repository DIR, a fix each
    #[arg(long, num_args = 2, value_names = ["DIR", "RANGE"])]
    from_git: Option<Vec<String>>,
    /// A CVE that each of them fixes; can be given several times
    #[arg(long, value_name = "CVE")]
    cve: Vec<String>,
    /// How bad they are: critical, important, moderate or low
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<String>,
    /// The version to add them to: the last one in the file, or a new one [default: the last one, or the next where that is released]
    #[arg(long = "version", value_name = "V-R")]
    wanted: Option<String>,
    /// The day of a new version [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<String>,
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
        Command::Init(args) => edit::init(args),
        Command::Add(args) => edit::add(args),
        Command::Check(args) => give(args.json, "check", check(args)),
        Command::Plan(args) => plan::run(args),
        Command::Build(args) => give(args.json, "build", build_all(args)),
        Command::Assemble(args) => give(args.json, "assemble", release::assemble_all(args)),
        Command::Release(args) => give(args.json, "release", release::release_all(args)),
        Command::Renew(args) => renew(args),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "give a number from 1 on".into())
}

/// What `check --json` tells.
#[derive(Serialize)]
struct Checked {
    stream: String,
    version: String,
    kernels: Vec<CheckedKernel>,
}

#[derive(Serialize)]
struct CheckedKernel {
    kernel: String,
    /// None where its release is not known.
    module: Option<String>,
    fixes: usize,
    cves: Vec<String>,
    /// The last released version.
    released: Option<String>,
}

fn check(args: &CheckArgs) -> Result<Answer<Checked>> {
    let stream = Stream::read(&args.file)?;
    let ledger = Ledger::read(&stream)?;
    let newest = stream.version(None)?;
    let mut table = Table::new(&["KERNEL", "MODULE", "FIXES", "CVES", "RELEASED"]);
    let (mut refusals, mut kernels) = (Vec::new(), Vec::new());
    for kernel in &stream.kernels {
        let fixes = stream.fixes(kernel, newest.version);
        let released = ledger.released(&kernel.target);
        refusals.extend(rules::fixes(&stream, kernel, newest, released));
        let module = kernel.release.as_ref().map(|release| names::module(release, newest.version)).transpose()?;
        let cves: BTreeSet<&Cve> = fixes.iter().flat_map(|(_, f)| &f.cves).collect();
        let last = released.last().map(|e| e.version.to_string());
        let shown = module.clone().unwrap_or_else(|| "not known: the target is not prepared here".into());
        let numbers = [fixes.len(), cves.len()].map(|n| n.to_string());
        let [fixes_shown, cves_shown] = numbers;
        let last_shown = last.clone().unwrap_or_else(|| "none".into());
        table.row([kernel.target.clone(), shown, fixes_shown, cves_shown, last_shown]);
        kernels.push(CheckedKernel {
            kernel: kernel.target.clone(),
            module,
            fixes: fixes.len(),
            cves: cves.into_iter().map(ToString::to_string).collect(),
            released: last,
        });
    }
    let fields = Checked { stream: stream.name.clone(), version: newest.version.to_string(), kernels };
    if !refusals.is_empty() {
        let broken = Ended::breaks_ledger(newest.version, "the stream's kernels", refusals);
        return Ok(Answer { text: table.text(), fields, end: Err(broken.into()) });
    }
    let text = format!("{}{}: version {} can be built\n", table.text(), args.file.display(), newest.version);
    Ok(Answer { text, fields, end: Ok(()) })
}

fn build_all(args: &BuildArgs) -> Result<Answer<Results>> {
    let folder = args.result.as_ref().unwrap_or(&args.output);
    files::check_writable(folder).with_context(|| format!("cannot write to the output folder {}", folder.display()))?;
    let stream = Stream::read(&args.file)?;
    let ledger = Ledger::read(&stream)?;
    let (release, kernels) = args.which.of(&stream)?;
    let signer = args.sign.signer()?;
    let jobs = crate::stream::plan::plan(&stream, release, &kernels, &ledger)?;
    crate::stream::plan::as_planned(&stream, &jobs, &args.input)?;
    args.processors.into_iter().for_each(parallel::limit);
    let wishes = args.tried.then(Wishes::default);
    let mut results = Results::new(&stream, release);
    for job in &jobs {
        let mut done = release::run(job, &stream, &ledger, wishes.as_ref());
        match (&args.result, &done.outcome) {
            (Some(results), _) => drop(done.write(results)?),
            (None, Some(outcome)) => {
                if let Err(error) = write(outcome, signer.as_ref(), &args.output) {
                    complain(&job.kernel.target, &error);
                    done.failed(error);
                }
            }
            (None, None) => {}
        }
        results.add(done.result);
    }
    let end = if args.result.is_some() { results.end_of_jobs() } else { results.end() };
    Ok(Answer { text: results.text(), end, fields: results })
}

fn renew(args: &RenewArgs) -> Result<()> {
    let key = args.place.gpg_key.as_deref().map(Key::read).transpose()?;
    let mut site = Site::open(&args.file, &args.place, key.as_ref())?;
    site.publish()?;
    println!("{}", args.place.output.display());
    Ok(())
}

/// Writes a module and what belongs to it, signed where that is asked for.
fn write(outcome: &Outcome, signer: Option<&Signer>, dir: &Path) -> Result<()> {
    let mut all = outcome.files()?;
    if let Some(signer) = signer {
        let ko = all.iter_mut().find(|(end, _)| *end == "ko").map(|(_, bytes)| bytes).context("no module")?;
        *ko = signer.sign(ko, false)?;
    }
    let name = &outcome.manifest.name;
    let named: Vec<(PathBuf, &[u8])> =
        all.iter().map(|(end, bytes)| (dir.join(format!("{name}.{end}")), bytes.as_slice())).collect();
    files::write_together(&named)
}
