// SPDX-License-Identifier: GPL-2.0-or-later
//! Jobs as engines take them: the jobs of a plan in, a matrix, a pipeline or a script out. kmend has no engine of its own.

use super::plan::{command, shown, word, How, Job};
use super::Stream;
use anyhow::{ensure, Result};
use serde_json::json;
use std::fmt::Write as _;

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// The matrix of a job of GitHub Actions, as JSON
    Github,
    /// A child pipeline of GitLab, as YAML
    Gitlab,
    /// Steps for `buildkite-agent pipeline upload`, as YAML
    Buildkite,
    /// An array job for `sbatch`
    Slurm,
    /// A command line per line
    Plain,
}

impl Engine {
    /// The most jobs that it takes at once; None where it has no limit.
    ///
    /// GitHub: 256 jobs a matrix. GitLab: 200, as its `parallel` has. Buildkite: 500 an upload. Slurm: MaxArraySize is 1001 where
    /// slurm.conf does not say otherwise, and counts from 0.
    pub fn most(self) -> Option<usize> {
        match self {
            Self::Github => Some(256),
            Self::Gitlab => Some(200),
            Self::Buildkite => Some(500),
            Self::Slurm => Some(1000),
            Self::Plain => None,
        }
    }

    /// Its name, for people.
    fn name(self) -> &'static str {
        match self {
            Self::Github => "GitHub Actions",
            Self::Gitlab => "GitLab",
            Self::Buildkite => "Buildkite",
            Self::Slurm => "Slurm",
            Self::Plain => "a list",
        }
    }
}

/// One job of an engine: one kernel, or several in turn.
#[derive(Clone, Debug)]
pub struct Batch<'p, 's> {
    /// The job's name: that of its one kernel's job, or STREAM-VERSION-part-NUMBER.
    pub id: String,
    /// The kernels.
    pub jobs: Vec<&'p Job<'s>>,
    /// The command line.
    pub command: Vec<String>,
}

/// How many jobs an engine may get: what is asked for, else what it takes.
///
/// # Errors
/// More than it takes.
pub fn most(engine: Option<Engine>, asked: Option<usize>) -> Result<usize> {
    let limit = engine.and_then(Engine::most);
    if let (Some(engine), Some(limit), Some(asked)) = (engine, limit, asked) {
        ensure!(
            asked <= limit,
            "--max-jobs {asked} is more than {} takes: {limit} at most. Leave it out; kernels then share jobs where there are more",
            engine.name()
        );
    }
    Ok(asked.or(limit).unwrap_or(usize::MAX))
}

/// Puts `jobs` into at most `most` jobs of an engine, as evenly as they go, in their order.
pub fn batches<'p, 's>(stream: &Stream, jobs: &[&'p Job<'s>], most: usize, how: &How) -> Vec<Batch<'p, 's>> {
    let count = jobs.len().min(most);
    let (mut rest, mut all) = (jobs, Vec::with_capacity(count));
    for n in 0..count {
        let (these, others) = rest.split_at(rest.len().div_ceil(count - n));
        rest = others;
        let id = match these {
            [one] => one.id.clone(),
            _ => format!("{}-{}-part-{}", word(&stream.name, 60), these[0].release.version, n + 1),
        };
        all.push(Batch { id, jobs: these.to_vec(), command: command(stream, these, how) });
    }
    all
}

/// The jobs as `engine` takes them; `how` is that of their command lines.
pub fn written(engine: Engine, stream: &Stream, batches: &[Batch<'_, '_>], how: &How) -> String {
    let results = how.results.display().to_string();
    match engine {
        Engine::Plain => batches.iter().map(|batch| shown(&batch.command) + "\n").collect(),
        Engine::Github => github(batches),
        Engine::Gitlab => gitlab(batches, &results),
        Engine::Buildkite => buildkite(batches, &results),
        Engine::Slurm => slurm(stream, batches),
    }
}

/// In one line: the value of an output of a job has one.
fn github(batches: &[Batch<'_, '_>]) -> String {
    let include: Vec<_> =
        batches.iter().map(|batch| json!({"id": batch.id, "command": shown(&batch.command)})).collect();
    json!({ "include": include }).to_string() + "\n"
}

/// A text as YAML takes it: JSON's texts are YAML's.
fn text(text: &str) -> String {
    json!(text).to_string()
}

/// A job for each, and no `parallel: matrix`: GitLab makes no pipeline where the variables of one are longer than about 250
/// characters.
fn gitlab(batches: &[Batch<'_, '_>], results: &str) -> String {
    let mut out = format!(
        "# Jobs of `kmend-build stream plan`. Image, tags and cache: in the file that the trigger includes beside this one.\n\
         .kmend:\n  stage: build\n  retry:\n    max: 2\n    when: [runner_system_failure, stuck_or_timeout_failure]\n  \
         artifacts:\n    when: always\n    paths: [{}]\n",
        text(&format!("{}/", results.trim_end_matches('/')))
    );
    for batch in batches {
        let _ = write!(out, "{}:\n  extends: .kmend\n  script: [{}]\n", text(&batch.id), text(&shown(&batch.command)));
    }
    out
}

/// Buildkite puts variables in before it reads the steps: `$$` is a `$`.
fn buildkite(batches: &[Batch<'_, '_>], results: &str) -> String {
    let plain = |s: &str| text(&s.replace('$', "$$"));
    let mut out = "steps:\n".to_string();
    for batch in batches {
        let _ = write!(
            out,
            "  - label: {id}\n    key: {id}\n    command: {}\n    artifact_paths: {}\n    retry:\n      automatic:\n        \
             - exit_status: -1\n          limit: 2\n",
            plain(&shown(&batch.command)),
            plain(&format!("{}/**/*", results.trim_end_matches('/'))),
            id = text(&batch.id),
        );
    }
    if batches.is_empty() {
        return "steps: []\n".into();
    }
    out
}

/// Nothing for no jobs: an array has one task at least.
fn slurm(stream: &Stream, batches: &[Batch<'_, '_>]) -> String {
    if batches.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "#!/bin/sh\n#SBATCH --job-name=kmend-{name}\n#SBATCH --array=0-{last}\n#SBATCH --requeue\n\
         #SBATCH --output=kmend-{name}-%a.log\n\
         # Jobs of `kmend-build stream plan`, a task each. Partition, memory and time: as options of sbatch.\n\
         case \"$SLURM_ARRAY_TASK_ID\" in\n",
        name = word(&stream.name, 60),
        last = batches.len().saturating_sub(1),
    );
    for (n, batch) in batches.iter().enumerate() {
        let _ = writeln!(out, "{n}) exec {} ;;", shown(&batch.command));
    }
    out + "*) echo \"there is no task $SLURM_ARRAY_TASK_ID\" >&2; exit 1 ;;\nesac\n"
}

#[cfg(test)]
#[path = "engines_tests.rs"]
mod tests;
