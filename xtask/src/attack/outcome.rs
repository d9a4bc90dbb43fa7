// SPDX-License-Identifier: GPL-2.0-or-later
//! The result of one try: a run of a program in, whether it answered as it must out; and how many of each there were.

use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// No run takes longer than that on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process may reserve so many bytes: far more than any of the inputs need, far less than a length that is taken for granted.
const MEMORY: u64 = 4 << 30;

/// What came of one try.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was asked for.
    Accepted,
    /// It reported why not, with an exit code.
    Refused,
    /// It was killed, as it was meant to be, and left nothing that does harm.
    Killed,
    /// It broke off by itself.
    Panic(String),
    /// It did not end.
    Hang(String),
    /// The result differs from that without the attack, and nothing was reported.
    Changed(String),
}

/// A run that ended by itself.
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a command: what it said, or what is wrong with how it ended.
pub fn run(command: &mut Command) -> Result<std::result::Result<Ran, Outcome>> {
    run_and(command, |_| None)
}

/// The same, where `known` may know more about how it ended.
pub fn run_and(
    command: &mut Command,
    known: impl Fn(&Output) -> Option<Outcome>,
) -> Result<std::result::Result<Ran, Outcome>> {
    let mut limited = Command::new("timeout");
    limited.args(["--signal=KILL", &PATIENCE.as_secs().to_string()]);
    limited.arg("prlimit").arg(format!("--as={MEMORY}")).arg("env").stdin(Stdio::null());
    // Its environment is set after these programs, which need the PATH as it is.
    for (name, value) in command.get_envs() {
        let pair = [name, value.unwrap_or_default()].join(OsStr::new("="));
        limited.arg(pair);
    }
    limited.arg(command.get_program()).args(command.get_args());
    let begun = Instant::now();
    let output = limited.output().context("cannot start timeout, of coreutils")?;
    let told = || format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    if begun.elapsed() >= PATIENCE {
        return Ok(Err(Outcome::Hang(told())));
    }
    if let Some(outcome) = known(&output) {
        return Ok(Err(outcome));
    }
    let ran = Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    // 101 is a panic's; from 126 on the shell's and signals'.
    if matches!(ran.code, -1 | 101 | 126..) || ran.err.contains("panicked at") {
        return Ok(Err(Outcome::Panic(told())));
    }
    Ok(Ok(ran))
}

/// A run that may end well or with an error, but with one that says something.
pub fn answer(command: &mut Command) -> Result<Outcome> {
    Ok(match run(command)? {
        Err(outcome) => outcome,
        Ok(ran) if ran.code != 0 && ran.err.trim().is_empty() && ran.out.trim().is_empty() => {
            Outcome::Changed(format!("{command:?} ends with {} and says nothing", ran.code))
        }
        Ok(ran) if ran.code == 0 => Outcome::Accepted,
        Ok(_) => Outcome::Refused,
    })
}

/// The file as it has to be, or not there.
pub fn whole_or_absent(path: &Path, whole: &[u8]) -> Option<Outcome> {
    let there = std::fs::read(path).ok()?;
    (there != whole).then(|| Outcome::Changed(format!("{} is there with other contents", path.display())))
}

/// How many tries came out how.
#[derive(Default)]
pub struct Count {
    pub tries: u64,
    accepted: u64,
    refused: u64,
    killed: u64,
    panics: u64,
    hangs: u64,
    changes: u64,
    /// Of the first three of a class, what a person needs to see them again.
    pub faults: Vec<String>,
}

impl Count {
    /// Adds one try.
    pub fn one(&mut self, class: &str, round: u64, outcome: Outcome) {
        self.tries += 1;
        let (counter, fault) = match outcome {
            Outcome::Accepted => (&mut self.accepted, None),
            Outcome::Refused => (&mut self.refused, None),
            Outcome::Killed => (&mut self.killed, None),
            Outcome::Panic(told) => (&mut self.panics, Some(("panic", told))),
            Outcome::Hang(told) => (&mut self.hangs, Some(("hang", told))),
            Outcome::Changed(told) => (&mut self.changes, Some(("silent change", told))),
        };
        *counter += 1;
        let fault = fault.filter(|_| self.faults.len() < 3);
        self.faults.extend(fault.map(|(what, told)| format!("{class}, round {round}: {what}: {told}")));
    }

    /// Adds the tries of another class.
    pub fn add(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.tries, other.tries),
            (&mut self.accepted, other.accepted),
            (&mut self.refused, other.refused),
            (&mut self.killed, other.killed),
            (&mut self.panics, other.panics),
            (&mut self.hangs, other.hangs),
            (&mut self.changes, other.changes),
        ] {
            *sum += more;
        }
        self.faults.extend(other.faults);
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tries, accepted, refused, killed, panics, hangs, changes, .. } = self;
        write!(f, "{tries:>6} tries: {accepted} accepted, {refused} refused, {killed} killed; ")?;
        write!(f, "{panics} panics, {hangs} hangs, {changes} silent changes")
    }
}
