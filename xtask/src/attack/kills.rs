// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs that are killed at one of their system calls: what is left has to be complete, and the next run has to succeed.

use super::bench::{Bench, NAME};
use super::inputs::host;
use super::mutate::Random;
use super::outcome::{run, run_and, whole_or_absent, Outcome};
use anyhow::{bail, Context, Result};
use kmend_builder::files;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

/// The calls that change files, and those that prepare it; not every machine has all.
const CALLS: &str = "?open,openat,?creat,write,?pwrite64,?rename,?renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat,\
    ftruncate,?chmod,fchmod,fchmodat,?link,linkat,flock,fsync,fdatasync,close";

/// By its path: the run's own PATH may lead nowhere.
const STRACE: &str = "/usr/bin/strace";

/// How often a run makes each of these calls in its first thread.
pub type Calls = Vec<(String, usize)>;

/// `command` under strace, which has `options` and an output.
fn traced(command: &Command, options: &[&str], output: &Path) -> Command {
    let mut strace = Command::new(STRACE);
    strace.arg("-qq").args(options).arg("-o").arg(output).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    strace
}

/// Counts the calls of a run that ends well.
///
/// # Errors
/// It does not, or strace cannot trace it.
pub fn calls(command: &Command, place: &Path) -> Result<Calls> {
    let log = place.join("calls");
    if let Outcome::Accepted = well(&mut traced(command, &["-e", &format!("trace={CALLS}")], &log))? {
        let mut calls: BTreeMap<String, usize> = BTreeMap::new();
        for line in files::read_text(&log)?.lines() {
            if let Some((name, _)) = line.split_once('(').filter(|(name, _)| !name.contains(' ')) {
                *calls.entry(name.into()).or_default() += 1;
            }
        }
        return Ok(calls.into_iter().collect());
    }
    bail!("{command:?} does not end well under strace")
}

/// `command`, killed at one of its calls, each kind of them as often as the others.
fn killed(command: &Command, calls: &Calls, random: &mut Random) -> Result<Command> {
    let (name, times) = calls.get(random.below(calls.len())).context("a run without a call to kill it at")?;
    // strace counts each call by itself.
    let at = 1 + random.below(*times);
    let options = ["-e", &format!("trace={name}"), "-e", &format!("inject={name}:signal=KILL:when={at}")];
    Ok(traced(command, &options, Path::new("/dev/null")))
}

/// SIGKILL, which strace ends with too.
fn by_signal(output: &Output) -> Option<Outcome> {
    use std::os::unix::process::ExitStatusExt;
    (output.status.signal() == Some(9) || output.status.code() == Some(128 + 9)).then_some(Outcome::Killed)
}

/// Runs it with a kill at one of its calls; then `left` looks at what is there, and `again` has to go well.
fn kill(
    bench: &Bench,
    (command, calls): (&Command, &Calls),
    random: &mut Random,
    left: impl Fn() -> Option<Outcome>,
    again: impl Fn() -> Result<Outcome>,
) -> Result<Outcome> {
    if bench.sound {
        return again();
    }
    let first = match run_and(&mut killed(command, calls, random)?, by_signal)? {
        Err(Outcome::Killed) => Outcome::Killed,
        Err(outcome) => return Ok(outcome),
        // Fewer calls than that: it was through.
        Ok(ran) if ran.code == 0 => Outcome::Accepted,
        Ok(_) => Outcome::Refused,
    };
    if let Some(fault) = left() {
        return Ok(fault);
    }
    Ok(match again()? {
        Outcome::Accepted => first,
        other => other,
    })
}

/// A run that has to end with exit code 0.
fn well(command: &mut Command) -> Result<Outcome> {
    Ok(match run(command)? {
        Err(outcome) => outcome,
        Ok(ran) if ran.code == 0 => Outcome::Accepted,
        Ok(ran) => Outcome::Changed(format!("{command:?} after a kill ends with {}: {}{}", ran.code, ran.out, ran.err)),
    })
}

/// `kmend install` on a host.
pub fn install(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let module = place.join(format!("{NAME}.ko"));
    files::write(&module, &bench.module)?;
    let mut install = host(bench, place)?;
    install.arg("install").arg(&module);
    let installed = place.join("root/var/lib/kpatch").join(&bench.target.release).join(format!("{NAME}.ko"));
    let left = || whole_or_absent(&installed, &bench.module);
    let again = || {
        let listed = well(host(bench, place)?.arg("list"))?;
        if listed != Outcome::Accepted {
            return Ok(listed);
        }
        let outcome = well(host(bench, place)?.arg("install").arg(&module))?;
        let there = std::fs::read(&installed).with_context(|| installed.display().to_string())?;
        Ok(if there == bench.module {
            outcome
        } else {
            Outcome::Changed("installed after a kill: another module".into())
        })
    };
    kill(bench, (&install, &bench.calls[0]), random, left, again)
}

/// `kmend-build sign`, in place.
pub fn sign(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let module = place.join(format!("{NAME}.ko"));
    files::write(&module, &bench.module)?;
    let left = || match std::fs::read(&module) {
        Ok(there) if there == bench.module || there == bench.signed => None,
        _ => Some(Outcome::Changed(format!("{} is neither the module nor the signed one", module.display()))),
    };
    let again = || {
        let is_signed = std::fs::read(&module).is_ok_and(|there| there == bench.signed);
        if is_signed {
            return Ok(Outcome::Accepted);
        }
        well(&mut bench.signer(&module))
    };
    kill(bench, (&bench.signer(&module), &bench.calls[1]), random, left, again)
}

/// `kmend-build build`, with all that it can take from the cache.
pub fn build(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let fix = place.join("fix.patch");
    files::write(&fix, &bench.patch)?;
    let out = place.join("out");
    let module = out.join(format!("{NAME}.ko"));
    let left = || whole_or_absent(&module, &bench.module);
    let again = || {
        let outcome = well(&mut bench.build(&fix, &out))?;
        Ok(whole_or_absent(&module, &bench.module).unwrap_or(outcome))
    };
    kill(bench, (&bench.build(&fix, &out), &bench.calls[2]), random, left, again)
}
