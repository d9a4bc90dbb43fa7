// SPDX-License-Identifier: GPL-2.0-or-later
//! Kernels side by side on one machine: jobs in; the result of each, in a folder of its own, out. Each job is a process
//! of this program, run like a worker's: it has its own memory and limits, and either uses the same inputs or fails.

use crate::cli::kernels::complain;
use crate::parallel::processors;
use crate::progress;
use crate::stream::plan::{command, How, Job};
use crate::stream::result::JobResult;
use crate::stream::Stream;
use crate::target::tied;
use anyhow::{bail, ensure, Context, Result};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{ChildStderr, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

/// How lines begin that a run of kmend-build ends with when it fails.
const LAST_WORDS: &str = "kmend-build: ";
/// The most of these that is kept, in bytes.
const LONGEST: usize = 16 << 10;

/// Runs `jobs`, at most `at_a_time` of them, with the results in folders in `results`. Calls `ended` with the number and the result of
/// each as they come, on this thread.
///
/// # Errors
/// Those of `ended`. No job is begun after one.
pub fn side_by_side(
    jobs: &[Job<'_>],
    stream: &Stream,
    at_a_time: usize,
    results: &Path,
    mut ended: impl FnMut(usize, JobResult) -> Result<()>,
) -> Result<()> {
    let at_a_time = at_a_time.min(jobs.len());
    // Together they compile as much at a time as one does by itself.
    let share = processors().div_ceil(at_a_time.max(1));
    let next = AtomicUsize::new(0);
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || {
                while let Some((n, job)) = take(jobs, next) {
                    if tell.send((n, one(job, stream, share, results))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        // Dropped with an error of `ended`: the jobs under way come to their end, and no more are begun.
        told.into_iter().try_for_each(|(n, result)| ended(n, result))
    })
}

fn take<'j, 's>(jobs: &'j [Job<'s>], next: &AtomicUsize) -> Option<(usize, &'j Job<'s>)> {
    let n = next.fetch_add(1, Ordering::Relaxed);
    Some((n, jobs.get(n)?))
}

/// Runs one job in a process, however it ends.
fn one(job: &Job<'_>, stream: &Stream, processors: usize, results: &Path) -> JobResult {
    run(job, stream, processors, results).unwrap_or_else(|error| {
        complain(&job.kernel.target, &error);
        let mut result = JobResult::new(stream, job);
        result.failed(&error);
        result
    })
}

fn run(job: &Job<'_>, stream: &Stream, processors: usize, results: &Path) -> Result<JobResult> {
    let kernel = &job.kernel.target;
    let words = command(stream, &[job], &How { results: results.into(), tried: false });
    // This program, whatever a package manager has put in its place meanwhile.
    let mut process = tied(format!("/proc/{}/exe", std::process::id()));
    process.args(&words[1..]).args(["--processors", &processors.to_string()]);
    let mut child = process.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start kmend-build")?;
    let last = child.stderr.take().map(|said| pass_on(kernel, said)).unwrap_or_default();
    let status = child.wait().context("cannot wait for kmend-build")?;
    let folder = results.join(&job.id);
    if !folder.exists() {
        bail!("its process wrote no result ({status}){}{last}", if last.is_empty() { "" } else { ": " });
    }
    let result = JobResult::read(&folder).with_context(|| folder.display().to_string())?;
    let same = (&result.id, &result.input) == (&job.id, &job.input.sum);
    ensure!(same, "its process has built another job, {}", result.id);
    Ok(result)
}

/// Says what a job says, with its kernel's name; what it ends with when it fails comes back.
fn pass_on(kernel: &str, said: ChildStderr) -> String {
    let mut last = String::new();
    let mut lines = BufReader::new(said);
    let mut line = Vec::new();
    // It is read to its end, or the job would wait for that.
    while lines.by_ref().take(LONGEST as u64).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\n');
        match text.strip_prefix(LAST_WORDS) {
            Some(words) if last.len() < LONGEST => last.push_str(words),
            Some(_) => {}
            None if !last.is_empty() && last.len() < LONGEST => last.push_str(&format!("\n{text}")),
            None => progress::of_kernel(kernel, text),
        }
        line.clear();
    }
    last
}
