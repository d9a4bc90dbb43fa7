// SPDX-License-Identifier: GPL-2.0-or-later
//! Makes a Debian system in a folder with mmdebstrap, through the machine's own apt sources.

use super::apt::Archive;
use crate::progress::Step;
use crate::sandbox;
use crate::target::tied;
use anyhow::{ensure, Context, Result};
use std::collections::VecDeque;
use std::fs;
use std::io::BufRead;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// How far the packages of a system get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Installed and configured, with all that is essential. Of this machine's architecture.
    MinBase,
    /// Unpacked and no more: no program of theirs is run, so the architecture does not matter.
    Extract,
}

/// Makes a system in the empty folder `dir` from `packages` and what they depend on.
///
/// # Errors
/// No mmdebstrap; a package that is not there; a full disk.
pub fn run(archive: &Archive, variant: Variant, packages: &[String], dir: &Path, step: &Step) -> Result<()> {
    let mut c = maker();
    c.arg(match variant {
        Variant::MinBase => "--variant=minbase",
        Variant::Extract => "--variant=extract",
    });
    c.arg(format!("--architectures={}", archive.arch));
    c.arg(format!("--include={}", packages.join(",")));
    c.args(["--aptopt=Acquire::Check-Valid-Until \"false\"", "--aptopt=Acquire::Languages \"none\""]);
    c.args(["--aptopt=Acquire::Retries \"3\"", "--aptopt=APT::Install-Recommends \"false\""]);
    for proxy in proxies()? {
        c.arg(format!("--aptopt={proxy}"));
    }
    for unread in ["doc", "man", "locale", "info", "lintian"] {
        c.arg(format!("--dpkgopt=path-exclude=/usr/share/{unread}/*"));
    }
    c.arg("--dpkgopt=force-unsafe-io");
    let suite = super::sources::base_suite(&archive.suite);
    let lines = &archive.lines;
    let start = "cannot start mmdebstrap: is it installed? (`make deps` installs what kmend needs)";
    let (log, made, unpacked) = if is_root() {
        // apt's own user may not be able to look into the cache.
        c.args(["--mode=root", "--format=directory", "--aptopt=APT::Sandbox::User \"root\"", suite]);
        let mut maker = c.arg(dir).args(lines).stderr(Stdio::piped()).spawn().context(start)?;
        let log = last_lines(maker.stderr.take(), |l| show_stage(l, step));
        (log, maker.wait().context("mmdebstrap")?, None)
    } else {
        // A tar stream that this user unpacks: in a user namespace the files would be somebody else's,
        // whom this user could not even remove.
        c.args(["--format=tar", suite, "-"]).args(lines).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut maker = c.spawn().context(start)?;
        let stream = maker.stdout.take().context("mmdebstrap gave no output")?;
        let mut tar = tied("tar");
        tar.args(["-x", "--exclude=./dev/*", "--no-same-owner", "-C"]).arg(dir).stdin(stream).stderr(Stdio::piped());
        let mut reader = tar.spawn().context("cannot start tar")?;
        // Both are read, because a program stops when its pipe is full.
        let (maker_err, reader_err) = (maker.stderr.take(), reader.stderr.take());
        let log = std::thread::scope(|s| {
            let said = s.spawn(|| last_lines(reader_err, |_| {}));
            last_lines(maker_err, |l| show_stage(l, step)) + &said.join().unwrap_or_default()
        });
        (log, maker.wait().context("mmdebstrap")?, Some(reader.wait().context("tar")?))
    };
    ensure!(
        !log.contains("No space left"),
        "the disk is full: a build root takes 2 GB in {} (KMEND_CACHE names another folder), without root's rights \
         as much in $TMPDIR while it is made",
        dir.display()
    );
    ensure!(made.success(), "mmdebstrap of suite {} failed ({made}); it said:\n{log}", archive.suite);
    ensure!(unpacked.is_none_or(|s| s.success()), "unpacking the system failed:\n{log}");
    Ok(())
}

/// mmdebstrap; as root with mounts of its own, which are gone when it is, however it ends.
fn maker() -> Command {
    let own_mounts =
        || Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|out| out.status.success());
    if !is_root() || !own_mounts() {
        return tied("mmdebstrap");
    }
    let mut c = tied("unshare");
    c.args(["--mount", "--", "mmdebstrap"]);
    c
}

/// Shows what mmdebstrap is at: its lines that start with "I: ".
fn show_stage(line: &str, step: &Step) {
    if let Some(stage) = line.strip_prefix("I: ") {
        step.detail(stage);
    }
}

/// Reads a program's words to their end; returns the last 30 lines, and shows each to `look`.
fn last_lines(from: Option<impl std::io::Read>, look: impl Fn(&str)) -> String {
    let mut last = VecDeque::new();
    for line in from.into_iter().flat_map(|f| std::io::BufReader::new(f).split(b'\n').map_while(|l| l.ok())) {
        let line = String::from_utf8_lossy(&line).into_owned();
        look(&line);
        last.push_back(format!("    {line}\n"));
        if last.len() > 30 {
            last.pop_front();
        }
    }
    last.into_iter().collect()
}

/// The machine's own proxy settings for apt, as `NAME "value"`.
fn proxies() -> Result<Vec<String>> {
    let out = sandbox::run(Command::new("apt-config").args(["dump", "Acquire"]), "apt-config dump")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let wanted = |l: &&str| {
        let name = l.split(' ').next().unwrap_or("").to_ascii_lowercase();
        name.contains("::proxy") && !l.contains("\"\"")
    };
    Ok(text.lines().filter(wanted).map(|l| l.trim_end_matches(';').to_string()).collect())
}

/// Whether this process is root's (the owner of /proc/self is the effective user).
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}
