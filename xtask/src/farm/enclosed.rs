// SPDX-License-Identifier: GPL-2.0-or-later
//! Daemons that end with the chore: its second half runs in namespaces of processes and network, and when that or the first half ends, in
//! whatever way, the kernel ends all that they have started. No port is open to anybody else.

use anyhow::{bail, ensure, Context, Result};
use kmend_builder::sandbox;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs this program with `args` and `folder`, in namespaces of its own. It finds `kmend_build` in PATH.
///
/// # Errors
/// It ends with an error, or there are no namespaces.
pub fn run(args: &[&str], folder: &Path, kmend_build: &Path) -> Result<()> {
    let me = std::env::current_exe().context("cannot tell where this program is")?;
    // setpriv: unshare dies with this program; --kill-child: what it runs dies with unshare.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    // The first process is a shell, which reaps what daemons leave behind: Slurm takes a zombie for a task that cannot be killed.
    command.args(["--net", "--uts", "--", "sh", "-c", "\"$@\" & wait $!", "sh"]);
    command.arg(me).arg("farm").args(args).arg(folder);
    let beside = kmend_build.parent().context("kmend-build is in no folder")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(beside.to_path_buf()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(path).context("PATH")?).env("KMEND_BUILD", kmend_build);
    let status = command.status().context("cannot start setpriv")?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

/// The loopback of a new network, by the name that the daemons look for. The second address is on it too: without one, resolvers say that
/// the machine has no IPv4 (AI_ADDRCONFIG of getaddrinfo).
pub fn network() -> Result<()> {
    sandbox::run(Command::new("ip").args(["link", "set", "lo", "up"]), "ip")?;
    sandbox::run(Command::new("ip").args(["address", "add", "192.0.2.1/32", "dev", "lo"]), "ip")?;
    sandbox::run(Command::new("hostname").arg("localhost"), "hostname")?;
    Ok(())
}

/// Starts a daemon that stays in the foreground; `log` gets what it says.
pub fn daemon(command: &mut Command, log: &Path) -> Result<Child> {
    let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let error = out.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(out).stderr(error);
    command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Waits until `done` says so.
///
/// # Errors
/// It never does in `seconds`, or fails.
pub fn wait(what: &str, seconds: u64, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !done()? {
        if Instant::now() > end {
            bail!("{what}: not in {seconds} s");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Kills every process whose environment has `variable` (NAME=VALUE), as a machine that loses power does; returns how many.
///
/// # Errors
/// /proc cannot be read.
pub fn kill_all_with(variable: &str) -> Result<usize> {
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc").context("cannot read /proc")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_process = name.bytes().all(|b| b.is_ascii_digit()) && name != "1";
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        if is_process && environment.split(|b| *b == 0).any(|one| one == variable.as_bytes()) {
            killed += usize::from(kill(&name)?);
        }
    }
    Ok(killed)
}

/// Kills one process; false where it was gone.
pub fn kill(pid: &str) -> Result<bool> {
    let out = Command::new("kill").args(["-KILL", pid]).output().context("cannot start kill")?;
    Ok(out.status.success())
}
