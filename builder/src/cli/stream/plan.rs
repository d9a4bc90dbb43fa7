// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build stream plan: the jobs of a version, as a table, as JSON, or as an engine takes them.

use super::answer::{give, Answer};
use super::PlanArgs;
use crate::cli::kernels::Table;
use crate::error::Ended;
use crate::stream::collect::{Found, Kept, Planned};
use crate::stream::engines::{batches, most, written, Batch};
use crate::stream::ledger::Ledger;
use crate::stream::plan::{self, shown, How, Job, Needs, Why};
use crate::stream::result::Outcome;
use crate::stream::{input, Stream};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// What `plan --json` tells.
#[derive(Serialize)]
pub struct Planning {
    stream: String,
    version: String,
    /// The kmend-build that the jobs are for.
    kmend_build: &'static str,
    /// Which build of it.
    program: &'static str,
    /// How many kernels have to be built.
    to_build: usize,
    kernels: Vec<PlannedKernel>,
    jobs: Vec<EngineJob>,
}

#[derive(Serialize)]
struct PlannedKernel {
    id: String,
    kernel: String,
    arch: Option<String>,
    why: Why,
    module: Option<String>,
    fixes: usize,
    input: String,
    inputs: BTreeMap<String, String>,
    target: Option<String>,
    /// How long it took the last time.
    seconds: Option<f64>,
    /// None where there is nothing to build.
    needs: Option<Needs>,
    /// None where there is nothing to build.
    command: Option<String>,
}

#[derive(Serialize)]
struct EngineJob {
    id: String,
    kernels: Vec<String>,
    command: Vec<String>,
    /// The sum of its kernels' times, where all are known.
    seconds: Option<f64>,
}

/// Runs the command.
pub fn run(args: &PlanArgs) -> Result<()> {
    give(args.json, "plan", plan(args))
}

impl PlanArgs {
    fn how(&self) -> How {
        How { results: self.into.clone(), tried: self.tried }
    }
}

fn plan(args: &PlanArgs) -> Result<Answer<Planning>> {
    let most = most(args.format, args.max_jobs)?;
    let stream = Stream::read(&args.file)?;
    let ledger = Ledger::read(&stream)?;
    let (release, kernels) = args.which.of(&stream)?;
    let mut jobs = plan::plan(&stream, release, &kernels, &ledger)?;
    plan::check(&stream, &jobs, &ledger)?;
    if !args.results.is_empty() {
        with_results(args, &stream, &mut jobs)?;
    }
    let to_build: Vec<&Job<'_>> = jobs.iter().filter(|job| job.why == Why::Build).collect();
    let how = &args.how();
    let batches = batches(&stream, &to_build, most, how);
    let text = match args.format {
        Some(engine) => written(engine, &stream, &batches, how),
        None => text(&stream, &jobs, &batches),
    };
    let end = match to_build.is_empty() {
        true => {
            let why = format!("there is nothing to build for version {} of {}", release.version, stream.name);
            Err(Ended::nothing_to_do(why).into())
        }
        false => Ok(()),
    };
    let fields = Planning {
        stream: stream.name.clone(),
        version: release.version.to_string(),
        kmend_build: input::BUILDER,
        program: input::program()?,
        to_build: to_build.len(),
        kernels: jobs.iter().map(|job| of_kernel(args, &stream, job)).collect(),
        jobs: batches.iter().map(of_batch).collect(),
    };
    Ok(Answer { text, fields, end })
}

/// What earlier results tell: jobs that have one already, and times.
fn with_results(args: &PlanArgs, stream: &Stream, jobs: &mut [Job<'_>]) -> Result<()> {
    let planned = Planned::new(stream, jobs, args.how());
    let found = Found::collect(&planned, &args.results)?;
    let times: Vec<Option<f64>> = (0..jobs.len()).map(|n| found.seconds(n)).collect();
    // A module that still has to be tried is no result then; one that failed is, as a refusal is.
    let counts = |kept: &Kept| !args.tried || kept.untried.is_none() || kept.outcome == Outcome::TryFailed;
    let has: Vec<bool> = (0..jobs.len()).map(|n| found.of(n).is_some_and(counts)).collect();
    for (job, (seconds, has)) in jobs.iter_mut().zip(times.into_iter().zip(has)) {
        job.seconds = seconds;
        if has && job.why == Why::Build {
            job.why = Why::HasResult;
        }
    }
    if let Some((count, first)) = found.unusable() {
        eprintln!(
            "note: {count} of {} results are not of this plan; the first: {}: {}",
            found.count, first.section, first.reason
        );
    }
    Ok(())
}

fn of_kernel(args: &PlanArgs, stream: &Stream, job: &Job<'_>) -> PlannedKernel {
    let how = args.how();
    let command = || shown(&plan::command(stream, &[job], &how));
    let is_built = job.why == Why::Build;
    PlannedKernel {
        id: job.id.clone(),
        kernel: job.kernel.target.clone(),
        arch: job.arch.clone(),
        why: job.why,
        module: job.module.clone(),
        fixes: stream.fixes(job.kernel, job.release.version).len(),
        input: job.input.sum.clone(),
        inputs: job.input.parts.clone(),
        target: job.target.clone(),
        seconds: job.seconds,
        needs: is_built.then(|| job.needs(&how)),
        command: is_built.then(command),
    }
}

fn of_batch(batch: &Batch<'_, '_>) -> EngineJob {
    EngineJob {
        id: batch.id.clone(),
        kernels: batch.jobs.iter().map(|job| job.id.clone()).collect(),
        command: batch.command.clone(),
        seconds: batch.jobs.iter().map(|job| job.seconds).sum(),
    }
}

fn text(stream: &Stream, jobs: &[Job<'_>], batches: &[Batch<'_, '_>]) -> String {
    let mut table = Table::new(&["KERNEL", "ARCH", "WHY", "TIME", "JOB"]);
    for job in jobs {
        let time = job.seconds.map_or("-".into(), |seconds| format!("{seconds:.0} s"));
        let arch = job.arch.clone().unwrap_or_else(|| "-".into());
        let id = if job.why == Why::Build { job.id.clone() } else { "-".into() };
        table.row([job.kernel.target.clone(), arch, job.why.name().into(), time, id]);
    }
    let count = jobs.iter().filter(|job| job.why == Why::Build).count();
    let jobs_of = |n: usize| if n == 1 { "1 job".into() } else { format!("{n} jobs") };
    format!(
        "{}{}: kernels to build: {count} of {}, in {}\n",
        table.text(),
        stream.path.display(),
        jobs.len(),
        jobs_of(batches.len())
    )
}
