// SPDX-License-Identifier: GPL-2.0-or-later
//! apt-get: packages in; what it would do, and that it did it, out. Its output is long: a line every few seconds says how far it is,
//! and all of it is shown where it fails.

use crate::is_root;
use anyhow::{bail, ensure, Context, Result};
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

/// How long nothing is said.
const QUIET: Duration = Duration::from_secs(5);

/// What apt would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Packages that are installed, or get another version.
    pub installed: Vec<String>,
    /// Packages that are removed.
    pub removed: Vec<String>,
}

/// What it would do to install `names`; what it says where it cannot.
///
/// # Errors
/// It cannot be started.
pub fn plan(names: &[&str]) -> Result<Result<Plan, String>> {
    let mut apt = Command::new("apt-get");
    apt.args(["-s", "-q", "install", "-y", "--no-install-recommends"]).args(names).env("LC_ALL", "C");
    let out = apt.output().context("cannot start apt-get")?;
    let said = String::from_utf8_lossy(&out.stdout);
    if out.status.success() {
        return Ok(Ok(read_plan(&said)));
    }
    Ok(Err(format!("{said}{}", String::from_utf8_lossy(&out.stderr))))
}

/// Whether it would remove something to install `name`.
///
/// # Errors
/// It cannot be started.
pub fn removes(name: &str) -> Result<bool> {
    Ok(plan(&[name])?.is_ok_and(|plan| !plan.removed.is_empty()))
}

/// Fetches the packages `names` into `folder`, without installing them.
///
/// # Errors
/// It cannot.
pub fn download(names: &[String], folder: &Path) -> Result<()> {
    // As root, apt fetches as another user where it can, which a folder of root's own does not let in: no harm, but a warning.
    let mut apt = Command::new("apt-get");
    apt.args(["-qq", "-o", "APT::Sandbox::User=root", "download"]).args(names).current_dir(folder).env("LC_ALL", "C");
    let out = apt.stdin(Stdio::null()).output().context("cannot start apt-get")?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "apt-get download {} ended with {}:\n{said}", names.join(" "), out.status);
    Ok(())
}

/// Reads lines such as `Inst zstd (1.5.4 Debian:12 [amd64])` and `Remv qemu-utils [1:7.2]`.
fn read_plan(said: &str) -> Plan {
    let with = |word: &str| {
        let lines = said.lines().filter_map(|line| line.strip_prefix(word)?.split_whitespace().next());
        lines.map(str::to_owned).collect()
    };
    Plan { installed: with("Inst "), removed: with("Remv ") }
}

/// Fetches the package lists.
///
/// # Errors
/// It cannot.
pub fn update() -> Result<()> {
    say("packages: fetching the package lists");
    run(&["-q", "update"], |_| None).context("the package lists cannot be fetched")
}

/// Installs `names`, `count` packages with what they depend on. It removes none.
///
/// # Errors
/// It cannot.
pub fn install(names: &[&str], count: usize) -> Result<()> {
    say(&format!("packages: installing {count}, with what they depend on"));
    let begun = Instant::now();
    let mut args =
        vec!["-q", "install", "-y", "--no-install-recommends", "--no-remove", "-o", "DPkg::Lock::Timeout=300"];
    args.extend_from_slice(names);
    let (mut fetched, mut unpacked, mut set_up) = (0, 0, 0);
    run(&args, |line| {
        let (done, what) = match line.split_whitespace().next()?.split(':').next()? {
            "Get" => (add(&mut fetched), "fetching"),
            "Unpacking" => (add(&mut unpacked), "unpacking"),
            "Setting" => (add(&mut set_up), "setting up"),
            _ => return None,
        };
        Some(format!("packages: {what} {done} of {count}"))
    })?;
    say(&format!("packages: {count} installed [{:.0} s]", begun.elapsed().as_secs_f32()));
    Ok(())
}

fn add(count: &mut usize) -> usize {
    *count += 1;
    *count
}

/// Runs apt-get; `progress` makes lines of its output into lines for people, of which one is shown every few seconds.
fn run(args: &[&str], mut progress: impl FnMut(&str) -> Option<String>) -> Result<()> {
    let mut command = Command::new(if is_root()? { "apt-get" } else { "sudo" });
    if !is_root()? {
        command.args(["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get"]);
    }
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut apt = command.spawn().context("cannot start apt-get (as root, or through sudo)")?;
    let errors = apt.stderr.take().map(|errors| std::thread::spawn(move || read_all(errors)));
    let (mut all, mut last) = (String::new(), Instant::now());
    for line in BufReader::new(apt.stdout.take().context("apt-get has no output")?).split(b'\n') {
        let line = line.context("cannot read what apt-get says")?;
        let line = String::from_utf8_lossy(&line);
        all.push_str(&line);
        all.push('\n');
        let shown = progress(&line);
        if last.elapsed() >= QUIET {
            shown.iter().for_each(|line| say(line));
            last = if shown.is_some() { Instant::now() } else { last };
        }
    }
    let status = apt.wait().context("apt-get")?;
    let errors = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
    if !status.success() {
        bail!("apt-get {} ended with {status}:\n{all}{errors}", args.join(" "));
    }
    Ok(())
}

fn read_all(mut from: ChildStderr) -> String {
    let mut bytes = Vec::new();
    // What was read up to an error is all there is to show.
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A line, in the place of cargo's bar if it is on this line of the terminal.
pub fn say(line: &str) {
    let clear = if std::io::stdout().is_terminal() { "\r\x1b[K" } else { "" };
    println!("{clear}{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read() {
        let said = "Reading package lists...\nThe following packages will be REMOVED:\n  qemu-utils\n\
                    Remv qemu-utils [1:7.2+dfsg-7]\nInst zstd (1.5.4 Debian:12 [amd64]) []\n\
                    Inst patch [2.7-1] (2.7.6 Debian:12 [amd64])\nConf zstd (1.5.4 Debian:12 [amd64])\n";
        let plan = read_plan(said);
        assert_eq!(plan.removed, ["qemu-utils"]);
        assert_eq!(plan.installed, ["zstd", "patch"]);
        assert_eq!(read_plan(""), Plan::default());
    }
}
