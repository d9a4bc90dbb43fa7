// SPDX-License-Identifier: GPL-2.0-or-later
//! The jobs of a version: a stream, its kernels and the ledger in; for each kernel what there is to do and the sum of its input out.
//! It builds nothing and needs no prepared target.

use super::build::{idle, End};
use super::input::{self, Input};
use super::ledger::Ledger;
use super::values::Version;
use super::{names, rules, Kernel, Release, Stream};
use crate::error::Ended;
use crate::target::store;
use crate::{files, guest, trial};
use anyhow::{bail, ensure, Result};
use kmend_shared::arch::ArchNames;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What there is to do for a kernel, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A live patch has to be built.
    Build,
    /// There is a result for the same input already.
    HasResult,
    /// The version is released for it.
    Released,
    /// The version adds no fix for it.
    NothingNew,
    /// It gets no live patches any more.
    SupportEnded,
}

impl Why {
    /// The word for it, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::HasResult => "has-result",
            Self::Released => "released",
            Self::NothingNew => "nothing-new",
            Self::SupportEnded => "support-ended",
        }
    }
}

/// A version for one kernel.
#[derive(Clone, Debug)]
pub struct Job<'s> {
    /// Its name: a word of letters, digits and `-`, different for each stream, version and kernel.
    pub id: String,
    /// The kernel.
    pub kernel: &'s Kernel,
    /// The version.
    pub release: &'s Release,
    /// What there is to do.
    pub why: Why,
    /// What decides its result, beside the target.
    pub input: Input,
    /// The sum of the target's record, where there is one on this machine.
    pub target: Option<String>,
    /// `uname -m` of the kernel, by its record, else by its release; None where neither tells.
    pub arch: Option<String>,
    /// Name of the module; None where the kernel's release is not known.
    pub module: Option<String>,
    /// How many seconds it took the last time, where a result tells.
    pub seconds: Option<f64>,
}

/// How jobs are run.
#[derive(Clone, Debug)]
pub struct How {
    /// The folder that they write their results to.
    pub results: PathBuf,
    /// They try their live patches in guests.
    pub tried: bool,
}

/// What a job needs of the machine that it runs on, beside kmend-build and the stream's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// The prepared target.
    pub target: String,
    /// The guest that it tries its live patch in; None where it does not.
    pub guest: Option<GuestNeeds>,
}

/// What a guest needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuestNeeds {
    /// QEMU's program; None where the kernel's architecture is not known.
    pub emulator: Option<&'static str>,
    /// Its memory, as QEMU takes it.
    pub memory: &'static str,
}

impl Job<'_> {
    /// What it needs where it is run so.
    pub fn needs(&self, how: &How) -> Needs {
        let emulator = || self.arch.as_deref().and_then(|arch| trial::emulator_of(arch).ok());
        let guest = how.tried.then(|| GuestNeeds { emulator: emulator(), memory: guest::MEMORY });
        Needs { target: self.kernel.target.clone(), guest }
    }
}

/// Plans `release` for `kernels`.
///
/// # Errors
/// A hooks file or a record that cannot be read; names that have no room.
pub fn plan<'s>(
    stream: &'s Stream,
    release: &'s Release,
    kernels: &[&'s Kernel],
    ledger: &Ledger,
) -> Result<Vec<Job<'s>>> {
    let mut ids = BTreeSet::new();
    let mut jobs = Vec::with_capacity(kernels.len());
    for kernel in kernels {
        let job = one(stream, kernel, release, ledger)?;
        ensure!(ids.insert(job.id.clone()), "two kernels of the stream would have the job {}", job.id);
        jobs.push(job);
    }
    Ok(jobs)
}

/// The job of one kernel.
///
/// # Errors
/// As [`plan`].
pub fn one<'s>(stream: &'s Stream, kernel: &'s Kernel, release: &'s Release, ledger: &Ledger) -> Result<Job<'s>> {
    let record = store::get(&kernel.target)?;
    let known = record.as_ref().map(|target| &target.release).or(kernel.release.as_ref());
    let arch = known.and_then(|release| ArchNames::of_release(release)).map(|arch| arch.uname.to_string());
    let is_released = || ledger.released(&kernel.target).iter().any(|e| e.version == release.version);
    Ok(Job {
        id: id(&stream.name, &kernel.target, release.version),
        kernel,
        release,
        why: match idle(stream, kernel, release) {
            Some(End::Ended(_)) => Why::SupportEnded,
            Some(_) => Why::NothingNew,
            None if is_released() => Why::Released,
            None => Why::Build,
        },
        input: input::of(stream, kernel, release, ledger)?,
        target: record.as_ref().map(input::of_target),
        module: known.map(|known| names::module(known, release.version)).transpose()?,
        arch: record.map(|target| target.arch).or(arch),
        seconds: None,
    })
}

/// Checks what the ledger's rules say of the jobs that are to be built.
///
/// # Errors
/// [`Ended`], with all that is wrong.
pub fn check(stream: &Stream, jobs: &[Job<'_>], ledger: &Ledger) -> Result<()> {
    let to_build = || jobs.iter().filter(|job| job.why == Why::Build);
    let refusals: Vec<_> = to_build()
        .flat_map(|job| rules::fixes(stream, job.kernel, job.release, ledger.released(&job.kernel.target)))
        .collect();
    match to_build().next() {
        Some(first) if !refusals.is_empty() => {
            Err(Ended::breaks_ledger(first.release.version, "the stream's kernels", refusals).into())
        }
        _ => Ok(()),
    }
}

/// The name of a job. The target's own name shows in it, as far as engines take such names for their jobs, artifacts and files.
pub fn id(stream: &str, target: &str, version: Version) -> String {
    const LONGEST: usize = 60;
    let version = version.to_string();
    let tail = &files::key(&[stream, target, &version])[..8];
    format!("{}-{version}-{tail}", word(target, LONGEST))
}

/// `text` as one word of letters, digits and single `-`.
pub fn word(text: &str, longest: usize) -> String {
    let mut word = String::new();
    for c in text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(longest) {
        if c != '-' || !word.ends_with('-') {
            word.push(c);
        }
    }
    match word.trim_matches('-') {
        "" => "kernel".into(),
        word => word.into(),
    }
}

/// The command line that builds `jobs`, which are of one version.
pub fn command(stream: &Stream, jobs: &[&Job<'_>], how: &How) -> Vec<String> {
    let mut words: Vec<String> = ["kmend-build", "stream", "build"].map(String::from).into();
    words.push(path(&stream.path));
    let version = jobs.first().map(|job| job.release.version.to_string()).unwrap_or_default();
    words.extend(["--version".into(), version]);
    for job in jobs {
        words.extend(["-k", &job.kernel.target, "--input", &job.input.sum].map(String::from));
    }
    words.extend(["--result".into(), path(&how.results)]);
    if how.tried {
        words.push("--try".into());
    }
    words
}

/// A path that is taken for no option.
fn path(path: &Path) -> String {
    let text = path.display().to_string();
    match text.starts_with('-') {
        true => format!("./{text}"),
        false => text,
    }
}

/// A command line as a shell takes it.
pub fn shown(words: &[String]) -> String {
    words.iter().map(|word| store::quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Checks that the jobs' inputs are those that a plan had: each of `sums` is the input of a job, and each job's is among them.
///
/// # Errors
/// A plan that is older or newer than the stream file, its patches or the ledger.
pub fn as_planned(stream: &Stream, jobs: &[Job<'_>], sums: &[String]) -> Result<()> {
    if sums.is_empty() {
        return Ok(());
    }
    let file = stream.path.display();
    if let Some(job) = jobs.iter().find(|job| !sums.contains(&job.input.sum)) {
        bail!(
            "the plan is not of this stream file: {} for {} has the input {} with the stream file {file}, its patches, its ledger and \
             this kmend-build ({}, {}), and --input does not name it. Build from the commit that was planned, by the kmend-build that \
             planned, or plan again",
            job.release.version,
            job.kernel.target,
            job.input.sum,
            input::BUILDER,
            job.input.program
        );
    }
    if let Some(sum) = sums.iter().find(|sum| jobs.iter().all(|job| job.input.sum != **sum)) {
        bail!("--input {sum} is the input of none of these kernels; name the kernel that it belongs to with -k");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_jobs_are_words() {
        let version = Version { version: 1, release: 2 };
        let one = id("s", "debian:forky/7.2.12+deb14-amd64", version);
        assert!(one.starts_with("debian-forky-7-2-12-deb14-amd64-1-2-"), "{one}");
        for name in ["tree:$(reboot)", "tree:ä ö", &"x".repeat(500), "::", "-a"] {
            let id = id("s", name, version);
            assert!(id.len() < 90 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{id}");
            assert!(id.starts_with(|c: char| c.is_ascii_alphanumeric()), "{id}");
        }
        let others = [
            id("t", "debian:forky/7.2.12+deb14-amd64", version),
            id("s", "debian:forky/7.2.12-deb14-amd64", version),
            id("s", "debian:forky/7.2.12+deb14-amd64", Version { version: 1, release: 3 }),
        ];
        assert!(others.iter().all(|other| *other != one), "{others:?}");
    }

    #[test]
    fn command_lines_are_words_of_a_shell() {
        let words = ["kmend-build", "-k", "tree:$(reboot)", "it's", "a b", ""].map(String::from);
        let out = std::process::Command::new("sh").args(["-c", &format!("printf '%s|' {}", shown(&words))]).output();
        assert_eq!(String::from_utf8(out.unwrap().stdout).unwrap(), "kmend-build|-k|tree:$(reboot)|it's|a b||");
    }
}
