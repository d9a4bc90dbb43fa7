// SPDX-License-Identifier: GPL-2.0-or-later
//! The machine's GnuPG with a home folder of its own, without any of the user's files: arguments in; what gpg printed
//! and reported, out. gpg reads and uses secret keys through its agent. Folder and agent end with this program, however
//! that ends: a shell waits at a pipe until it is closed, and removes the folder then; the agent ends with that shell
//! and with its socket.

use anyhow::{bail, ensure, Context, Result};
use kmend_shared::programs;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// What gpg consists of, and Debian's packages with it; on Fedora and RHEL, all is in gnupg2.
const PROGRAMS: [(&str, &str); 3] = [("gpg", "gpg"), ("gpg-agent", "gpg-agent"), ("gpgconf", "gpgconf")];
/// No signature takes longer, nor does reading a key.
const LIMIT: Duration = Duration::from_secs(60);
/// The agent's socket is in the home folder, and paths of sockets end at 107 bytes.
const LONGEST: usize = 60;
/// Waits for the end of the pipe. Signals that end this program must not end the shell before it has removed the folder.
const WAIT: &str = "trap '' INT TERM HUP QUIT; echo ready; cat >/dev/null; rm -rf -- \"$1\"";

/// A home folder, and the agent that serves it.
#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    /// The shell; its input is the pipe.
    shell: Child,
}

/// How a call of gpg went.
pub(crate) struct Said {
    /// It did what it was asked for.
    pub good: bool,
    /// What it wrote to its output.
    pub out: Vec<u8>,
    /// Its report: keyword and values, as GnuPG's doc/DETAILS lists them.
    pub report: Vec<String>,
    /// What it says to people.
    pub text: String,
}

impl Home {
    /// A new folder, and its agent.
    ///
    /// # Errors
    /// The machine has no gpg; the agent does not start.
    pub(crate) fn new() -> Result<Home> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        present(&path)?;
        let place = std::env::temp_dir();
        let place = if place.as_os_str().len() <= LONGEST { place } else { "/tmp".into() };
        let mut builder = tempfile::Builder::new();
        builder.prefix("kmend-gpg-").permissions(Permissions::from_mode(0o700));
        let folder = builder.tempdir_in(&place).with_context(|| format!("cannot write in {}", place.display()))?;
        let log = folder.path().join("agent.log");
        let mut agent = clean(Command::new("gpg-agent"), folder.path());
        agent
            .arg("--homedir")
            .arg(folder.path())
            .args(["--disable-scdaemon", "--daemon", "--", "/bin/sh", "-c", WAIT, "sh"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?);
        let mut shell = agent.spawn().context("cannot start gpg-agent")?;
        let ready = is_ready(&mut shell);
        if !ready {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            shell.kill().and_then(|()| shell.wait()).context("gpg-agent did not start, and cannot be ended")?;
            bail!("gpg-agent did not start:\n{}", said.trim_end());
        }
        // From here on the shell removes it.
        Ok(Home { folder: folder.keep(), shell })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs gpg. It never asks anyone for anything, and ends in time.
    ///
    /// # Errors
    /// It cannot be started, or took too long.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Said> {
        let mut gpg = limited("gpg", LIMIT, &self.folder);
        gpg.arg("--homedir")
            .arg(&self.folder)
            .args(["--no-options", "--batch", "--no-tty", "--no-autostart", "--pinentry-mode", "error"])
            .args(["--trust-model", "always", "--no-auto-check-trustdb", "--display-charset", "utf-8"])
            .args(["--status-fd", "2"])
            .args(args)
            .stdin(Stdio::null());
        let out = gpg.output().context("cannot start gpg")?;
        let errors = String::from_utf8_lossy(&out.stderr);
        let (report, text): (Vec<&str>, Vec<&str>) = errors.lines().partition(|line| line.starts_with(REPORT));
        let took_too_long = matches!(out.status.code(), None | Some(124 | 137));
        ensure!(!took_too_long, "gpg was stopped, because it did not finish within {} s", LIMIT.as_secs());
        Ok(Said {
            good: out.status.success(),
            out: out.stdout,
            report: report.iter().map(|line| line[REPORT.len()..].to_owned()).collect(),
            text: text.join("\n"),
        })
    }
}

/// Begins a line of the report.
const REPORT: &str = "[GNUPG:] ";

impl Said {
    /// The values of the first line of the report that begins with `keyword`.
    pub(crate) fn reported<'a>(&'a self, keyword: &'a str) -> Option<Vec<&'a str>> {
        self.all_reported(keyword).next()
    }

    /// The same of all such lines.
    pub(crate) fn all_reported<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
        let lines = self.report.iter().map(|line| line.split(' ').collect::<Vec<_>>());
        lines.filter(move |words| words[0] == keyword).map(|words| words[1..].to_vec())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The agent also ends by itself, but only seconds after this program.
        let mut end = limited("gpgconf", Duration::from_secs(10), &self.folder);
        let ended = end.arg("--homedir").arg(&self.folder).args(["--kill", "gpg-agent"]).output();
        drop(self.shell.stdin.take());
        let removed = self.shell.wait();
        if ended.is_err() || removed.is_err() || self.folder.exists() {
            eprintln!("warning: {} could not be removed, and contains a secret key: remove it", self.folder.display());
        }
    }
}

/// Whether the programs are there.
fn present(path: &OsStr) -> Result<()> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|(name, _)| programs::find_in(path, name).is_none()).collect();
    let Some((name, _)) = missing.first() else { return Ok(()) };
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    bail!(
        "this machine has no {name}, which signs packages and repositories\n  what you can do: install {} (Debian, Ubuntu) or \
         gnupg2 (Fedora, RHEL)",
        packages.join(" and ")
    )
}

/// Whether the shell runs, which begins when the agent has its socket.
fn is_ready(shell: &mut Child) -> bool {
    let Some(out) = shell.stdout.take() else { return false };
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(out).read_line(&mut line);
        // No one listens any more if it took too long.
        let _ = send.send(read.is_ok() && line == "ready\n");
    });
    receive.recv_timeout(LIMIT).unwrap_or(false)
}

/// A program that is ended when it takes too long.
fn limited(name: &str, limit: Duration, home: &Path) -> Command {
    let mut command = clean(Command::new("timeout"), home);
    command.args(["--kill-after=5", &limit.as_secs().to_string(), name]);
    command
}

/// Without the user's settings: no terminal, no display, no agent, no language.
fn clean(mut command: Command, home: &Path) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("LC_ALL", "C").env("HOME", home).env("GNUPGHOME", home);
    command
}

/// Puts `data` into a file in the folder, which is removed when it is dropped.
pub(crate) fn lay(home: &Home, data: &[u8]) -> Result<tempfile::NamedTempFile> {
    let cannot = || format!("cannot write in {}", home.folder.display());
    let mut file = tempfile::NamedTempFile::new_in(home.folder()).with_context(cannot)?;
    file.write_all(data).with_context(cannot)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_gpg_is_told_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let missing = |path: &str| format!("{:#}", present(OsStr::new(path)).unwrap_err());
        let here = folder.path().to_str().unwrap();
        assert!(missing(here).contains("install gpg and gpg-agent and gpgconf (Debian"), "{}", missing(here));
        std::fs::write(folder.path().join("gpg"), "").unwrap();
        std::fs::write(folder.path().join("gpgconf"), "").unwrap();
        assert!(missing(here).contains("has no gpg-agent") && missing(here).contains("install gpg-agent (Debian"));
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let begun = std::time::Instant::now();
        let ended = limited("sleep", Duration::from_secs(1), Path::new("/tmp")).arg("60").status().unwrap();
        assert_eq!(ended.code(), Some(124));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
