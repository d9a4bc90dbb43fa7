// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build stream release, assemble: modules into a repository. `release` is plan, build and assemble in a row on one machine;
//! `assemble` takes the results of jobs that ran elsewhere.

use super::answer::Answer;
use super::side::side_by_side;
use super::site::Site;
use super::{AssembleArgs, ReleaseArgs};
use crate::cli::kernels::{complain, Results};
use crate::files;
use crate::sign::Signer;
use crate::stream::collect::{Demands, Found, Planned};
use crate::stream::job::{self, Done};
use crate::stream::ledger::Ledger;
use crate::stream::plan::{self, How, Job, Why};
use crate::stream::release::{self, Packed};
use crate::stream::result::{Idle, JobResult, Outcome};
use crate::stream::{assemble, build, Kernel, Release, Stream};
use crate::trial::Wishes;
use anyhow::Result;
use kmend_packager::Key;
use std::collections::BTreeSet;
use std::path::Path;

/// Runs `release`.
pub fn release_all(args: &ReleaseArgs) -> Result<Answer<Results>> {
    let key = args.place.gpg_key.as_deref().map(Key::read).transpose()?;
    let mut site = Site::open(&args.file, &args.place, key.as_ref())?;
    let stream = site.stream.clone();
    let (release, kernels) = args.which.of(&stream)?;
    let signer = args.sign.signer()?;
    let mut pairs: Vec<(&Kernel, &Release)> = Vec::new();
    if args.restore {
        pairs.extend(restore(&stream, &mut site.ledger, &args.place.output)?);
    }
    pairs.retain(|(kernel, old)| old.version != release.version || !kernels.iter().any(|k| k.target == kernel.target));
    let again = pairs.len();
    pairs.extend(kernels.iter().map(|kernel| (*kernel, release)));
    let jobs: Vec<Job<'_>> = pairs
        .into_iter()
        .map(|(kernel, release)| plan::one(&stream, kernel, release, &site.ledger))
        .collect::<Result<_>>()?;
    site.compare(&made(&stream, jobs.iter())?)?;
    let mut results = Results::new(&stream, release);
    let staging = release::staging(&args.place.output)?;
    let work = files::work_dir()?;
    // In the order of the jobs, however they come.
    let mut made: Vec<Option<(JobResult, Option<Packed>)>> = jobs.iter().map(|_| None).collect();
    let mut ended = |n: usize, mut result: JobResult| {
        let folder = work.path().join(&result.id);
        let mut package = None;
        if result.outcome == Outcome::Built {
            match pack(&site, &jobs[n], (&result, &folder), signer.as_ref(), staging.path()) {
                Ok(packed) => package = packed,
                Err(error) => {
                    complain(&result.kernel, &error);
                    result.failed(&error);
                }
            }
        }
        made[n] = Some((result, package));
        if folder.exists() {
            files::remove_dir(&folder)?;
        }
        Ok(())
    };
    match args.jobs {
        1 => jobs.iter().enumerate().try_for_each(|(n, job)| {
            let mut done = run(job, &stream, &site.ledger, None);
            done.write(work.path())?;
            ended(n, done.result)
        })?,
        at_a_time => side_by_side(&jobs, &stream, at_a_time, work.path(), ended)?,
    }
    let mut packed = Vec::new();
    for (at, (result, package)) in made.into_iter().flatten().enumerate() {
        packed.extend(package);
        if at >= again || matches!(result.outcome, Outcome::Refused | Outcome::Error) {
            results.add(result);
        }
    }
    release::lay_all(packed, &site.repository, &mut site.ledger)?;
    drop(staging);
    site.publish()?;
    Ok(answer(results, &args.place.output))
}

/// Runs `assemble`.
pub fn assemble_all(args: &AssembleArgs) -> Result<Answer<Results>> {
    let key = args.place.gpg_key.as_deref().map(Key::read).transpose()?;
    let mut site = Site::open(&args.file, &args.place, key.as_ref())?;
    let stream = site.stream.clone();
    let (release, kernels) = args.which.of(&stream)?;
    let signer = args.sign.signer()?;
    let jobs = plan::plan(&stream, release, &kernels, &site.ledger)?;
    plan::check(&stream, &jobs, &site.ledger)?;
    let how = How { results: args.results[0].clone(), tried: args.require_try };
    let planned = Planned::new(&stream, &jobs, how);
    let found = Found::collect(&planned, &args.results)?;
    found.complete(&planned, Demands { twice: args.twice, tried: args.require_try })?;
    let built =
        jobs.iter().enumerate().filter(|(n, _)| found.of(*n).is_some_and(|kept| kept.outcome == Outcome::Built));
    site.compare(&made(&stream, built.map(|(_, job)| job))?)?;
    let mut results = Results::new(&stream, release);
    let staging = release::staging(&args.place.output)?;
    let mut packed = Vec::new();
    for (n, job) in jobs.iter().enumerate() {
        let Some(kept) = found.of(n) else {
            results.add(without_build(&stream, job)?);
            continue;
        };
        let folder = kept.folder.as_path();
        let result = kept.read()?;
        if result.outcome == Outcome::Built {
            packed.extend(pack(&site, job, (&result, folder), signer.as_ref(), staging.path())?);
        }
        for refusal in &result.refusals {
            eprintln!("{}: {refusal}", job.kernel.target);
        }
        results.add(result);
    }
    release::lay_all(packed, &site.repository, &mut site.ledger)?;
    drop(staging);
    site.publish()?;
    Ok(answer(results, &args.place.output))
}

fn answer(results: Results, repository: &Path) -> Answer<Results> {
    let text = format!("{}{}\n", results.text(), repository.display());
    Answer { text, end: results.end(), fields: results }
}

/// Builds one kernel, with `wishes` tries its live patch, and says how it ends where that is with an error.
pub fn run(job: &Job<'_>, stream: &Stream, ledger: &Ledger, wishes: Option<&Wishes>) -> Done {
    eprintln!("building {} {} for {}", stream.name, job.release.version, job.kernel.target);
    let done = job::run(job, stream, ledger, wishes);
    done.error.iter().for_each(|error| complain(&job.kernel.target, error));
    done
}

/// Reads a job's module again, signs it where that is asked for, and packs it.
fn pack(
    site: &Site<'_>,
    job: &Job<'_>,
    result: (&JobResult, &Path),
    signer: Option<&Signer>,
    staging: &Path,
) -> Result<Option<Packed>> {
    let Site { stream, ledger, repository, .. } = site;
    let module = assemble::module(stream, job, result, ledger)?;
    let signed = signer.map(|s| s.sign(&module.bytes, false)).transpose()?;
    let bytes = signed.as_ref().unwrap_or(&module.bytes);
    release::pack(stream, job.kernel, job.release, (&module.manifest, bytes), (repository, staging), ledger)
}

/// The names of the packages of `jobs`.
fn made<'j, 's: 'j>(stream: &Stream, jobs: impl Iterator<Item = &'j Job<'s>>) -> Result<BTreeSet<String>> {
    let mut made = BTreeSet::new();
    for job in jobs {
        made.extend(release::file_names(stream, &[job.kernel], job.release)?);
    }
    Ok(made)
}

/// What came of a kernel for which nothing had to be built.
fn without_build(stream: &Stream, job: &Job<'_>) -> Result<JobResult> {
    let mut result = JobResult::new(stream, job);
    match build::idle(stream, job.kernel, job.release) {
        Some(end) => return Ok(Done::of(result, end).result),
        None if job.why == Why::Released => {
            (result.outcome, result.why) = (Outcome::NothingNew, Some(Idle::Released));
            result.said = "released already".into();
        }
        None => anyhow::bail!("{} has no result", job.id),
    }
    Ok(result)
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
