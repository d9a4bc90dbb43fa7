// SPDX-License-Identifier: GPL-2.0-or-later
//! One job: a kernel's build in; module, source, manifest, report, log and `result.json` in a folder of its own out. It has no
//! keys and changes no ledger.

use super::build::{self, idle, End, Watched};
use super::ledger::Ledger;
use super::plan::Job;
use super::result::{FileSum, Idle, JobResult, Outcome, Run, Step, Tried, TriedFault, FILE, LOG, TRIAL};
use super::{input, Stream};
use crate::error::{Ended, Refused};
use crate::files;
use crate::pipeline;
use crate::progress;
use crate::report::{of_build::of_build, End as PageEnd};
use crate::target::Target;
use crate::trial::{self, Report, Subject, Wishes};
use anyhow::{ensure, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A job that is over.
pub struct Done {
    /// What came of it.
    pub result: JobResult,
    /// The error that it ended with: a refusal, a fault in a guest, or another.
    pub error: Option<anyhow::Error>,
    /// What was built.
    pub outcome: Option<Box<pipeline::Outcome>>,
    /// The page about it, where it came to a request.
    page: Option<String>,
    /// What came of trying it, where that was done.
    trial: Option<Report>,
    log: String,
}

/// Runs `job`, however it ends. With `wishes`, a module that was built is tried in a guest of its kernel.
pub fn run(job: &Job<'_>, stream: &Stream, ledger: &Ledger, wishes: Option<&Wishes>) -> Done {
    reset_peak();
    let (begun, clock) = (SystemTime::now(), Instant::now());
    let mut watched = Watched::default();
    let work = || {
        check_machine(job, stream, wishes)?;
        let end = build::build(stream, job.kernel, job.release, ledger, &mut watched)?;
        let trial = match (&end, &watched.asked, wishes) {
            (End::Built(outcome), Some((session, _)), Some(wishes)) => Some(tried(outcome, session.target(), wishes)?),
            _ => None,
        };
        Ok((end, trial))
    };
    let (end, log) = progress::logged(work);
    let mut result = JobResult::new(stream, job);
    result.run = Some(Run {
        begun: begun.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        seconds: seconds(clock.elapsed()),
        steps: log.steps.iter().map(|s| Step { what: s.what.clone(), seconds: seconds(s.time) }).collect(),
        peak_memory_kib: peak(),
        machine: machine(),
    });
    let page = page(&watched, end.as_ref().map(|(end, _)| end));
    // The target that it was built with, if that was changed meanwhile.
    if let Some((session, _)) = &watched.asked {
        result.target = Some(input::of_target(session.target()));
    }
    let mut done = Done { result, error: None, outcome: None, page, trial: None, log: log.text };
    match end {
        Ok((end, trial)) => {
            done.ended(end);
            trial.into_iter().for_each(|report| done.was_tried(report));
        }
        Err(error) => done.failed(error),
    }
    done
}

/// Checks that a guest can be made where one will be wanted, before the build.
fn check_machine(job: &Job<'_>, stream: &Stream, wishes: Option<&Wishes>) -> Result<()> {
    let wanted = wishes.is_some() && idle(stream, job.kernel, job.release).is_none();
    // Where the architecture is not known, there is no target either, and the build says so.
    let arch = job.arch.as_ref().filter(|_| wanted && job.target.is_some());
    arch.map_or(Ok(()), |arch| trial::check_machine(arch).context("the live patch could not be tried"))
}

fn tried(outcome: &pipeline::Outcome, target: &Target, wishes: &Wishes) -> Result<Report> {
    let ko = format!("{}.ko", outcome.manifest.name);
    let report = Subject::of(&ko, outcome.module.clone(), target, wishes).and_then(|subject| subject.run(wishes));
    report.with_context(|| format!("{ko} was built, and could not be tried"))
}

impl Done {
    /// One that ended so without a build.
    pub fn of(result: JobResult, end: End) -> Self {
        let mut done = Self { result, error: None, outcome: None, page: None, trial: None, log: String::new() };
        done.ended(end);
        done
    }

    fn ended(&mut self, end: End) {
        let result = &mut self.result;
        result.outcome = Outcome::NothingNew;
        match end {
            End::Built(outcome) => {
                let manifest = outcome.manifest.clone();
                result.outcome = Outcome::Built;
                let functions = manifest.units.iter().flat_map(|u| &u.functions).filter(|f| f.sympos.is_some()).count();
                result.said = format!("{}.ko", manifest.name);
                (result.module, result.functions) = (Some(manifest.name), Some(functions));
                (result.fixes, result.warnings, result.notes) = (manifest.fixes, manifest.warnings, manifest.notes);
                self.outcome = Some(outcome);
            }
            End::NoCode(fixes) => {
                let none = fixes.iter().all(|f| f.effect.is_some_and(|effect| effect.is_not_concerned()));
                let said = if none { "does not concern this kernel" } else { "changes no code of it" };
                (result.why, result.said, result.fixes) = (Some(Idle::NoCode), said.into(), fixes);
            }
            End::NothingNew(Some(last)) => {
                (result.why, result.said) = (Some(Idle::NothingNew), format!("nothing new since {last}"));
            }
            End::NothingNew(None) => {
                (result.why, result.said) = (Some(Idle::NothingNew), "no fix is for it".into());
            }
            End::Ended(until) => (result.why, result.said) = (Some(Idle::Ended), format!("ended {until}")),
        }
    }

    /// Notes how its module did in a guest.
    fn was_tried(&mut self, report: Report) {
        let fault = |modules: &str, fault: &trial::Fault| TriedFault {
            modules: modules.into(),
            code: fault.code.into(),
            text: fault.text.clone(),
        };
        let faults: Vec<TriedFault> =
            report.runs.iter().flat_map(|run| run.faults.iter().map(|f| fault(run.modules.name(), f))).collect();
        let result = &mut self.result;
        for TriedFault { modules, code, text } in &faults {
            self.log.push_str(&format!("failed in a guest ({modules}): [{code}] {text}\n"));
        }
        if !report.passed() {
            result.outcome = Outcome::TryFailed;
            self.error = Some(Ended::faulty(&report.live_patch, &report.target.name, faults.len()).into());
        }
        result.tried = Some(Tried {
            passed: report.passed(),
            module_sha256: report.sha256.clone(),
            target: result.target.clone().unwrap_or_default(),
            kmend_build: result.kmend_build.clone(),
            program: result.program.clone(),
            accelerator: report.accelerator.into(),
            faults,
        });
        self.trial = Some(report);
    }

    /// Notes the error that it ended with; a module that there was is given up.
    pub fn failed(&mut self, error: anyhow::Error) {
        self.result.failed(&error);
        self.log.push_str(&format!("{error:#}\n"));
        (self.outcome, self.trial) = (None, None);
        self.error = Some(error);
    }

    /// Writes the result into the folder `results`, below its job's name, instead of an older one: written under a
    /// temporary name, then renamed.
    ///
    /// # Errors
    /// It cannot be written. Nothing of it is left then.
    pub fn write(&mut self, results: &Path) -> Result<PathBuf> {
        let mut all: Vec<(String, Vec<u8>)> = vec![(LOG.into(), self.log.clone().into_bytes())];
        if let Some(outcome) = &self.outcome {
            let name = &outcome.manifest.name;
            all.extend(outcome.files()?.map(|(end, bytes)| (format!("{name}.{end}"), bytes)));
        }
        all.extend(self.page.as_ref().map(|page| ("report.html".into(), page.clone().into_bytes())));
        if let Some(report) = &self.trial {
            all.push((TRIAL.into(), (serde_json::to_string_pretty(report)? + "\n").into_bytes()));
        }
        let sum = |bytes: &[u8]| FileSum { sha256: files::sha256(bytes), bytes: bytes.len() as u64 };
        self.result.files = all.iter().map(|(name, bytes)| (name.clone(), sum(bytes))).collect();
        let json = serde_json::to_string_pretty(&self.result).context("the result")? + "\n";
        all.push((FILE.into(), json.into_bytes()));

        let place = results.join(&self.result.id);
        files::make_dir(results)?;
        let there = fs::symlink_metadata(&place);
        ensure!(
            there.as_ref().map_or(true, |about| about.is_dir()),
            "{} is no folder: name another folder for the results",
            place.display()
        );
        let beside = |what: &str| {
            let cannot = || format!("cannot write in {}", results.display());
            tempfile::Builder::new()
                .prefix(&format!("{}{what}-", files::BESIDE_PREFIX))
                .tempdir_in(results)
                .with_context(cannot)
        };
        let new = beside("result")?;
        let named: Vec<(PathBuf, &[u8])> =
            all.iter().map(|(name, bytes)| (new.path().join(name), bytes.as_slice())).collect();
        files::write_together(&named)?;
        files::make_readable(new.path())?;
        let cannot = || format!("cannot write {}", place.display());
        // A folder that is not empty cannot be replaced in one go.
        let old = there.is_ok().then(|| beside("old")).transpose()?;
        let away = old.as_ref().map(|old| old.path().join("result"));
        if let Some(away) = &away {
            fs::rename(&place, away).with_context(cannot)?;
        }
        if let Err(error) = fs::rename(new.path(), &place) {
            // The older one, back where it was.
            away.map(|away| fs::rename(away, &place)).transpose().with_context(cannot)?;
            return Err(error).with_context(cannot);
        }
        Ok(place)
    }
}

fn page(watched: &Watched, end: Result<&End, &anyhow::Error>) -> Option<String> {
    let (session, request) = watched.asked.as_ref()?;
    let (end, outcome) = match end {
        Ok(End::Built(outcome)) => (PageEnd::Built(&outcome.manifest), Some(&**outcome)),
        Ok(_) => (PageEnd::Unchanged("The fixes change no code of this kernel."), None),
        Err(error) => (PageEnd::Refused(&error.downcast_ref::<Refused>()?.0), None),
    };
    Some(of_build(session.target(), request, end, outcome, &watched.seen).html())
}

/// In milliseconds: no clock of a build is better.
fn seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Lets the peak that the kernel keeps begin anew (proc_pid_clear_refs(5)). A kernel that does not know that keeps the old one.
fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The peak of this process's resident memory, KiB.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A sum of the machine's boot id, which no container has for itself.
fn machine() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(files::key(&["kmend machine", id.trim()])[..16].into())
}
