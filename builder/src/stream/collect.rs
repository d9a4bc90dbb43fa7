// SPDX-License-Identifier: GPL-2.0-or-later
//! Results from anywhere against the jobs that were planned: folders and jobs in; for each job the result that counts, and all
//! that is wrong with the others, out. What is kept depends on the number of jobs, and not on that of results.

use super::input;
use super::plan::{command, shown, How, Job, Why};
use super::result::{each, JobResult, Outcome};
use super::Stream;
use crate::error::{Ended, Refusal};
use anyhow::{ensure, Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// So many faults are told one by one.
const MOST_TOLD: usize = 50;

/// The result that counts for a job.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its folder.
    pub folder: PathBuf,
    /// How it ended.
    pub outcome: Outcome,
    /// Why no result of this job has a module that counts as tried; None where one does, and where there is no module.
    pub untried: Option<String>,
    agreement: String,
    /// Another machine that agrees.
    machine: Option<String>,
    confirmed: bool,
}

impl Kept {
    /// Reads the result again.
    ///
    /// # Errors
    /// It was changed since.
    pub fn read(&self) -> Result<JobResult> {
        let result = JobResult::read(&self.folder).with_context(|| self.folder.display().to_string())?;
        let same = result.agreement()? == self.agreement;
        ensure!(same, "the result in {} was changed while it was assembled: start again", self.folder.display());
        Ok(result)
    }
}

/// What was found in folders of results.
#[derive(Debug, Default)]
pub struct Found {
    /// How many results there are.
    pub count: usize,
    /// By the number of their job.
    kept: BTreeMap<usize, Kept>,
    /// How long each job took the last time, whatever its version and input were: when it began, and seconds.
    times: BTreeMap<usize, (u64, f64)>,
    /// Jobs that failed and have no other result: by their number, the folder and the error.
    failed: BTreeMap<usize, (PathBuf, String)>,
    /// Jobs of which a guest showed a fault: by their number, the folder and the first fault.
    try_failed: BTreeMap<usize, (PathBuf, String)>,
    faults: Vec<Refusal>,
    more: usize,
}

/// What is asked of results, beside that they belong to the plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demands {
    /// Two of each job, from different machines.
    pub twice: bool,
    /// Each module was tried in a guest, and passed.
    pub tried: bool,
}

/// Jobs by their kernels, and what to run for each again.
pub struct Planned<'p, 's> {
    stream: &'s Stream,
    jobs: &'p [Job<'s>],
    by_kernel: BTreeMap<&'s str, usize>,
    how: How,
}

impl<'p, 's> Planned<'p, 's> {
    /// Of `jobs`, which are of one version, and are run again as `how` says.
    pub fn new(stream: &'s Stream, jobs: &'p [Job<'s>], how: How) -> Self {
        let by_kernel = jobs.iter().enumerate().map(|(n, job)| (job.kernel.target.as_str(), n)).collect();
        Self { stream, jobs, by_kernel, how }
    }

    /// What to run again for a job.
    fn again(&self, job: &Job<'_>) -> String {
        format!("run again: {}", shown(&command(self.stream, &[job], &self.how)))
    }

    /// The job that `result` is of; None where it is of a kernel that was not asked for.
    fn job_of(&self, result: &JobResult) -> Result<Option<usize>, Refusal> {
        let refuse = |code: &str, reason: String, hint: &str| {
            Err(Refusal::new(code, &result.kernel, &format!("job {}", result.id), reason, hint))
        };
        let away = "remove it from the folder of results";
        if result.stream != self.stream.name {
            let reason = format!("it is of the stream {:?}, not of {:?}", result.stream, self.stream.name);
            return refuse("result-other-stream", reason, away);
        }
        let Some(&n) = self.by_kernel.get(result.kernel.as_str()) else {
            if self.stream.kernels.iter().any(|k| k.target == result.kernel) {
                return Ok(None);
            }
            let reason = format!("the stream has no kernel {:?}", result.kernel);
            return refuse("result-other-kernel", reason, away);
        };
        let job = &self.jobs[n];
        let version = job.release.version;
        if result.version != version {
            let reason = format!("it is of version {}, not of {version}", result.version);
            return refuse("result-other-version", reason, away);
        }
        let again = self.again(job);
        let program = job.input.program;
        if result.kmend_build != input::BUILDER || result.program != program {
            let there = if result.program.is_empty() { "of an unknown build" } else { &result.program };
            let reason = format!(
                "kmend-build {} ({there}) has built it, this one is {} ({program})",
                result.kmend_build,
                input::BUILDER
            );
            return refuse("result-other-builder", reason, &again);
        }
        if result.input != job.input.sum || result.id != job.id {
            let differs = job.input.differs(&result.inputs);
            let what = if differs.is_empty() { "the input".into() } else { differs.join(" and ") };
            let reason = format!(
                "it was built from other inputs than are here now, which differ in: {what}. Its plan is older than the stream, or newer"
            );
            return refuse("result-other-input", reason, &again);
        }
        if let (Some(here), Some(there)) = (&job.target, &result.target) {
            if here != there {
                let reason =
                    "it was built with another target of this name than the one on this machine: kernel, compilers or \
                              their options differ";
                return refuse("result-other-target", reason.into(), &again);
            }
        }
        Ok(Some(n))
    }
}

impl Found {
    /// Looks through `folders`.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn collect(planned: &Planned<'_, '_>, folders: &[PathBuf]) -> Result<Self> {
        let mut found = Self::default();
        for folder in folders {
            let count = each(folder, &mut |folder| {
                found.take(planned, folder);
                Ok(())
            })?;
            found.count += count;
        }
        Ok(found)
    }

    fn fault(&mut self, mut fault: Refusal, folder: &Path) {
        let at = folder.display().to_string();
        fault.section = if fault.section.is_empty() { at } else { format!("{at}, {}", fault.section) };
        if self.faults.len() < MOST_TOLD {
            self.faults.push(fault);
        } else {
            self.more += 1;
        }
    }

    /// Takes the result in `folder`, or notes what is wrong with it.
    fn take(&mut self, planned: &Planned<'_, '_>, folder: &Path) {
        let result = match JobResult::read(folder) {
            Ok(result) => result,
            Err(error) => {
                let hint = "run its job again, or take it away";
                return self.fault(Refusal::new("result-unreadable", "", "", format!("{error:#}"), hint), folder);
            }
        };
        self.note_time(planned, &result);
        let n = match planned.job_of(&result) {
            Ok(Some(n)) => n,
            Ok(None) => return,
            Err(fault) => return self.fault(fault, folder),
        };
        let job = &planned.jobs[n];
        if result.outcome == Outcome::Error {
            let error = result.error.unwrap_or_default().chars().take(2000).collect();
            self.failed.entry(n).or_insert((folder.into(), error));
            return;
        }
        let refuse = |code: &str, reason: String| {
            Refusal::new(code, &result.kernel, &format!("job {}", result.id), reason, &planned.again(job))
        };
        if let Err(error) = result.check_files(folder) {
            return self.fault(refuse("result-changed", format!("{error:#}")), folder);
        }
        let agreement = match result.agreement() {
            Ok(agreement) => agreement,
            Err(error) => return self.fault(refuse("result-unreadable", format!("{error:#}")), folder),
        };
        let untried = result.untried(job);
        if result.outcome == Outcome::TryFailed {
            let fault = result.tried.iter().flat_map(|tried| &tried.faults).next();
            let fault = fault.map(|f| format!("[{}] {}", f.code, f.text)).unwrap_or_default();
            self.try_failed.entry(n).or_insert((folder.into(), fault.chars().take(2000).collect()));
        }
        let machine = result.run.as_ref().and_then(|run| run.machine.clone());
        match self.kept.get_mut(&n) {
            None => {
                let (folder, outcome) = (folder.into(), result.outcome);
                self.kept.insert(n, Kept { folder, outcome, untried, agreement, machine, confirmed: false });
            }
            Some(other) if other.agreement == agreement => {
                // The one whose module was tried counts: it holds what shows that.
                if other.untried.is_some() && untried.is_none() {
                    (other.folder, other.outcome, other.untried) = (folder.into(), result.outcome, None);
                }
                other.confirmed |= machine.is_some() && other.machine.is_some() && machine != other.machine;
            }
            Some(other) => {
                let reason = format!("the same job has another result in {}, of other bytes", other.folder.display());
                self.fault(refuse("result-twice", reason), folder);
            }
        }
    }

    /// Notes how long a build of one of the planned kernels took.
    fn note_time(&mut self, planned: &Planned<'_, '_>, result: &JobResult) {
        let n = planned.by_kernel.get(result.kernel.as_str()).filter(|_| result.stream == planned.stream.name);
        let (Some(&n), Some(run), Outcome::Built) = (n, &result.run, result.outcome) else { return };
        if self.times.get(&n).is_none_or(|(begun, _)| *begun <= run.begun) && run.seconds.is_finite() {
            self.times.insert(n, (run.begun, run.seconds.max(0.0)));
        }
    }

    /// How many seconds the newest build for the kernel of job number `n` took.
    pub fn seconds(&self, n: usize) -> Option<f64> {
        self.times.get(&n).map(|(_, seconds)| *seconds)
    }

    /// The result that counts for job number `n`.
    pub fn of(&self, n: usize) -> Option<&Kept> {
        self.kept.get(&n)
    }

    /// How many results could not be used, and what is wrong with the first.
    pub fn unusable(&self) -> Option<(usize, &Refusal)> {
        self.faults.first().map(|first| (self.faults.len() + self.more, first))
    }

    /// Checks that each job that has to be built has a result as `demands` asks, and that nothing is wrong with any. A fault that a
    /// guest showed is one, whether that was asked for or not.
    ///
    /// # Errors
    /// [`Ended`], with what is wrong.
    pub fn complete(&self, planned: &Planned<'_, '_>, demands: Demands) -> Result<()> {
        let (mut refusals, mut more) = (self.faults.clone(), self.more);
        refusals.sort_by(|a, b| (&a.section, &a.code).cmp(&(&b.section, &b.code)));
        for (n, job) in planned.jobs.iter().enumerate().filter(|(_, job)| job.why == Why::Build) {
            let refuse = |code: &str, reason: String| {
                Refusal::new(code, &job.kernel.target, &format!("job {}", job.id), reason, &planned.again(job))
            };
            if let Some((folder, fault)) = self.try_failed.get(&n) {
                let reason = format!("a guest showed a fault of its live patch ({}): {fault}", folder.display());
                let hint = "read what the guest reported in try.json; correct the fix, or remove that result and \
                     run the job again";
                refusals.push(Refusal { hint: hint.into(), ..refuse("result-try-failed", reason) });
                continue;
            }
            let wrong = match (self.kept.get(&n), self.failed.get(&n)) {
                (Some(Kept { untried: Some(reason), folder, .. }), _) if demands.tried => {
                    refuse("result-untried", format!("{reason} ({})", folder.display()))
                }
                (Some(kept), _) if demands.twice && !kept.confirmed => {
                    let reason = "only one machine built it, or two that did not say which they are; --twice needs two that agree";
                    refuse("result-once", reason.into())
                }
                (Some(_), _) => continue,
                (None, Some((folder, error))) => {
                    refuse("result-failed", format!("it failed ({}): {error}", folder.display()))
                }
                (None, None) => refuse("result-missing", "there is no result of it".into()),
            };
            match refusals.len() < 2 * MOST_TOLD {
                true => refusals.push(wrong),
                false => more += 1,
            }
        }
        match refusals.is_empty() {
            true => Ok(()),
            false => Err(Ended::results_refused(refusals, more).into()),
        }
    }
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
