// SPDX-License-Identifier: GPL-2.0-or-later
//! What came of one job, as `result.json` tells it beside the files that it names: read and checked as what a stranger has written.
//! docs/farm.md has the fields.

use super::plan::Job;
use super::values::Version;
use super::{input, Stream};
use crate::diff::warnings::Warning;
use crate::emit;
use crate::error::{self, Refusal};
use crate::files;
use crate::source::Fix;
use anyhow::{bail, ensure, Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// The file in a result's folder.
pub const FILE: &str = "result.json";
/// Version of the form; it grows when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;
/// The log in a result's folder. It is the one file that differs from run to run.
pub const LOG: &str = "build.log";
/// What `try` tells in full, in a result's folder: as `kmend-build try --json` prints it. Two runs differ in it too.
pub const TRIAL: &str = "try.json";
/// The most bytes of a `result.json`.
const MAX_BYTES: u64 = 16 << 20;
/// The most bytes of a file that it names.
const MAX_FILE: u64 = 256 << 20;
/// The most files that it names.
const MAX_FILES: usize = 16;
/// How many folders deep results are looked for: an engine may unpack each artifact into a folder of its own.
const DEEPEST: usize = 3;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// There is a module.
    Built,
    /// There is a module, and a guest of its kernel showed a fault of it.
    TryFailed,
    /// There can be none, whenever it is tried again.
    Refused,
    /// There is nothing to build for this kernel.
    NothingNew,
    /// It failed; another run may not.
    Error,
}

/// Why there is nothing to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Idle {
    /// The fixes change no code of this kernel.
    NoCode,
    /// The version adds no fix for it.
    NothingNew,
    /// It gets no live patches any more.
    Ended,
    /// The version is released for it. Jobs do not end so.
    Released,
}

/// A file of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSum {
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// How the module did in a guest of its kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// True where no run showed a fault.
    pub passed: bool,
    /// SHA-256 of the module that was loaded.
    pub module_sha256: String,
    /// The sum of the record of the target whose kernel was booted.
    pub target: String,
    /// The version of the kmend-build that tried it.
    pub kmend_build: String,
    /// Which build of it.
    pub program: String,
    /// `KVM` or `TCG`: how QEMU ran the guest's code.
    pub accelerator: String,
    /// What was not as it has to be, run after run.
    pub faults: Vec<TriedFault>,
}

/// A fault that a guest showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedFault {
    /// The run: `plain`, `never`, `after`, `before`.
    pub modules: String,
    /// Its name; docs/try.md has them all.
    pub code: String,
    /// What was seen.
    pub text: String,
}

/// What one run was like: the only part of a result that differs from run to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When it began, seconds since 1970.
    pub begun: u64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// The steps in the order of their ends.
    pub steps: Vec<Step>,
    /// kmend-build's own peak of resident memory, KiB, less that of compilers; None where the kernel does not tell.
    pub peak_memory_kib: Option<u64>,
    /// A sum that differs from machine to machine, and on one machine from boot to boot; None where the kernel does not tell.
    pub machine: Option<String>,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it did.
    pub what: String,
    /// How long it took, seconds.
    pub seconds: f64,
}

/// What came of one job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobResult {
    /// [`SCHEMA`].
    pub schema_version: u32,
    /// The job's name.
    pub id: String,
    /// The stream.
    pub stream: String,
    /// The version.
    pub version: Version,
    /// The kernel: its target's name.
    pub kernel: String,
    /// The version of the kmend-build that ran.
    pub kmend_build: String,
    /// Which build of it: [`input::program`]. Empty in results of programs that did not tell.
    #[serde(default)]
    pub program: String,
    /// The sum of its input.
    pub input: String,
    /// The sums of the input's parts.
    pub inputs: BTreeMap<String, String>,
    /// The sum of the target's record; None where the job did not come to it.
    pub target: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Of `nothing-new`: why.
    pub why: Option<Idle>,
    /// How it ended, in words.
    pub said: String,
    /// Name of the module, where it was built.
    pub module: Option<String>,
    /// How many functions it replaces.
    pub functions: Option<usize>,
    /// The fixes, with what each of them does to this kernel.
    pub fixes: Vec<Fix>,
    /// What to expect when it is loaded.
    pub warnings: Vec<Warning>,
    /// Remarks of the build.
    pub notes: Vec<String>,
    /// Why there is no live patch.
    pub refusals: Vec<Refusal>,
    /// What went wrong, where it was no refusal.
    pub error: Option<String>,
    /// How the module did in a guest, where the job tried it.
    #[serde(default, rename = "try")]
    pub tried: Option<Tried>,
    /// The files beside it, by their names.
    pub files: BTreeMap<String, FileSum>,
    /// What the run was like.
    pub run: Option<Run>,
}

impl JobResult {
    /// One of `job` that has not begun.
    pub fn new(stream: &Stream, job: &Job<'_>) -> Self {
        Self {
            schema_version: SCHEMA,
            id: job.id.clone(),
            stream: stream.name.clone(),
            version: job.release.version,
            kernel: job.kernel.target.clone(),
            kmend_build: input::BUILDER.into(),
            program: job.input.program.into(),
            input: job.input.sum.clone(),
            inputs: job.input.parts.clone(),
            target: job.target.clone(),
            outcome: Outcome::Error,
            why: None,
            said: String::new(),
            module: None,
            functions: None,
            fixes: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            refusals: Vec::new(),
            error: None,
            tried: None,
            files: BTreeMap::new(),
            run: None,
        }
    }

    /// Notes the error that it ended with; a module that there was is given up.
    pub fn failed(&mut self, error: &anyhow::Error) {
        match error::refusals(error) {
            [] => {
                (self.outcome, self.error, self.said) = (Outcome::Error, Some(format!("{error:#}")), "failed".into());
            }
            refusals => {
                (self.outcome, self.refusals, self.said) = (Outcome::Refused, refusals.to_vec(), "refused".into());
            }
        }
        (self.module, self.functions, self.tried) = (None, None, None);
    }

    /// Reads the result in `folder`, without its files.
    ///
    /// # Errors
    /// One that is no regular file, too large, cut off, or of another form.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let bytes = regular(&path, MAX_BYTES).and_then(|()| files::read_at_most(&path, MAX_BYTES))?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).context("it is no JSON, or cut off")?;
        let schema = value.get("schema_version").and_then(serde_json::Value::as_u64);
        ensure!(
            schema == Some(SCHEMA.into()),
            "its schema {} is not known, this kmend-build knows {SCHEMA}",
            schema.map_or("?".into(), |s| s.to_string())
        );
        let result: Self = serde_json::from_value(value)?;
        result.sound()?;
        Ok(result)
    }

    /// Checks what one field says against the others.
    fn sound(&self) -> Result<()> {
        ensure!(self.files.len() <= MAX_FILES, "it names {} files; {MAX_FILES} are the most", self.files.len());
        for (name, sum) in &self.files {
            let plain = Path::new(name).file_name().is_some_and(|plain| plain == name.as_str());
            ensure!(plain && !name.starts_with('.') && name != FILE, "{name:?} is no name of a file of a result");
            ensure!(sum.bytes <= MAX_FILE, "{name} has {} bytes; {MAX_FILE} are the most", sum.bytes);
        }
        match (&self.module, self.outcome) {
            (Some(module), Outcome::Built | Outcome::TryFailed) => {
                emit::check_module_name(module)?;
                self.sound_trial()?;
                let lacks = ["ko", "rs", "json"].map(|end| format!("{module}.{end}"));
                let lacks = lacks.iter().find(|name| !self.files.contains_key(*name));
                lacks.map_or(Ok(()), |name| bail!("it is built, and names no {name}"))
            }
            (None, Outcome::Built | Outcome::TryFailed) => bail!("it is built, and names no module"),
            (Some(_), _) => bail!("it is not built, and names a module"),
            (None, _) if self.tried.is_some() => bail!("it names no module, and says that one was tried"),
            (None, Outcome::Refused) if self.refusals.is_empty() => bail!("it is refused, and says not why"),
            _ => Ok(()),
        }
    }

    /// Checks what it says of a trial against its outcome.
    fn sound_trial(&self) -> Result<()> {
        match (&self.tried, self.outcome) {
            (None, Outcome::Built) => Ok(()),
            (None, _) => bail!("a trial is said to have failed, and there was none"),
            (Some(_), _) if !self.files.contains_key(TRIAL) => bail!("its module was tried, and it names no {TRIAL}"),
            (Some(tried), outcome) => {
                let same = tried.passed == (outcome == Outcome::Built) && tried.passed == tried.faults.is_empty();
                ensure!(same, "what it says of the trial is not what it says of its faults, or of the outcome");
                Ok(())
            }
        }
    }

    /// Why its module does not count as tried: a trial counts of this very module, by this build of kmend-build, with the kernel of
    /// `job`. None where it does, and where there is no module.
    pub fn untried(&self, job: &Job<'_>) -> Option<String> {
        let ko = format!("{}.ko", self.module.as_ref()?);
        let Some(tried) = &self.tried else {
            return Some("its job did not try the live patch in a guest".into());
        };
        let is_program = tried.kmend_build == input::BUILDER && tried.program == job.input.program;
        let is_target = Some(&tried.target) == self.target.as_ref()
            && job.target.as_ref().is_none_or(|target| *target == tried.target);
        let is_module = self.files.get(&ko).is_some_and(|sum| sum.sha256 == tried.module_sha256);
        let wrong = [
            (is_module, "another module was tried, not the one that it holds"),
            (is_target, "it was tried with another kernel"),
            (is_program, "another kmend-build tried it"),
            (tried.passed, "a guest showed a fault"),
        ];
        wrong.iter().find(|(good, _)| !good).map(|(_, reason)| reason.to_string())
    }

    /// Checks the sums of its files in `folder`.
    ///
    /// # Errors
    /// A file that is missing, no regular one, or has other contents.
    pub fn check_files(&self, folder: &Path) -> Result<()> {
        for (name, sum) in &self.files {
            let path = folder.join(name);
            regular(&path, MAX_FILE)?;
            let found = sum_of(&path, sum.bytes)?;
            ensure!(
                found == *sum,
                "{name} has other contents than the job wrote: SHA-256 {}, not {}",
                found.sha256,
                sum.sha256
            );
        }
        Ok(())
    }

    /// Reads its file `name` in `folder`, which has to be the one that the job wrote.
    ///
    /// # Errors
    /// As [`JobResult::check_files`].
    pub fn file(&self, folder: &Path, name: &str) -> Result<Vec<u8>> {
        let sum = self.files.get(name).with_context(|| format!("the result names no {name}"))?;
        let path = folder.join(name);
        regular(&path, MAX_FILE)?;
        let bytes = files::read_at_most(&path, MAX_FILE)?;
        ensure!(files::sha256(&bytes) == sum.sha256, "{name} has other contents than the job wrote");
        Ok(bytes)
    }

    /// A sum of all that two runs of one job have to agree in, byte for byte: everything but the run, its log, and how a guest did.
    ///
    /// # Errors
    /// None that is known.
    pub fn agreement(&self) -> Result<String> {
        let mut same = Self { run: None, tried: None, ..self.clone() };
        if same.outcome == Outcome::TryFailed {
            same.outcome = Outcome::Built;
        }
        [LOG, TRIAL].iter().for_each(|name| drop(same.files.remove(*name)));
        Ok(files::sha256(&serde_json::to_vec(&same)?))
    }
}

/// Checks that `path` is a regular file of at most `most` bytes, and no link to one.
fn regular(path: &Path, most: u64) -> Result<()> {
    let about = fs::symlink_metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(about.is_file(), "{} is no regular file", path.display());
    ensure!(about.len() <= most, "{} has {} bytes; {most} are the most", path.display(), about.len());
    Ok(())
}

/// Sum and size of a file, of which no more than `bytes` and one is read.
fn sum_of(path: &Path, bytes: u64) -> Result<FileSum> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(cannot)?.take(bytes.saturating_add(1));
    let (mut sum, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer).with_context(cannot)? {
            0 => break,
            read => {
                sum.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
    Ok(FileSum { sha256: files::hex(&sum.finalize()), bytes: size })
}

/// Calls `found` with each folder of a result in `folder` or below, one after the other; gives their number. Links to folders are not
/// followed. Nothing is kept of them.
///
/// # Errors
/// A folder that cannot be read, and those of `found`.
pub fn each(folder: &Path, found: &mut dyn FnMut(&Path) -> Result<()>) -> Result<usize> {
    below(folder, 0, found)
}

fn below(folder: &Path, depth: usize, found: &mut dyn FnMut(&Path) -> Result<()>) -> Result<usize> {
    if fs::symlink_metadata(folder.join(FILE)).is_ok() {
        found(folder)?;
        return Ok(1);
    }
    let cannot = || format!("cannot read the folder of results {}", folder.display());
    let mut count = 0;
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.file_type().with_context(cannot)?.is_dir() && depth < DEEPEST {
            count += below(&entry.path(), depth + 1, found)?;
        }
    }
    Ok(count)
}

#[cfg(test)]
#[path = "result_tests.rs"]
mod tests;
