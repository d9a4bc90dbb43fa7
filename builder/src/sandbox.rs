// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs a target's own tools: in its build root, at one fixed path, with an empty environment, so that
//! the same inputs give the same bytes on every machine.

use anyhow::{bail, Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where the prepared kernel tree stands inside the sandbox.
pub const TREE: &str = "/tmp/kmend/linux";

/// Where a run's own folder stands inside the sandbox.
pub const WORK: &str = "/tmp/kmend/work";

/// A command line to be run in a build root through bubblewrap.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// The build root's folder; `/` means the machine's own compilers.
    pub root: PathBuf,
    binds: Vec<(&'static str, PathBuf, String)>,
    env: Vec<(String, String)>,
    cwd: String,
}

impl Sandbox {
    /// A sandbox in `root` (`/` for the machine itself) that starts in [`TREE`].
    pub fn new(root: &Path) -> Self {
        Self { root: root.into(), binds: Vec::new(), env: Vec::new(), cwd: TREE.into() }
    }

    /// Shows the host's `from` as `to`, read-only. Later binds lie over earlier ones.
    pub fn read_only(mut self, from: &Path, to: &str) -> Self {
        self.binds.push(("--ro-bind", from.into(), to.into()));
        self
    }

    /// Shows the host's `from` as `to`, writable.
    pub fn writable(mut self, from: &Path, to: &str) -> Self {
        self.binds.push(("--bind", from.into(), to.into()));
        self
    }

    /// Sets an environment variable; nothing else but PATH, LC_ALL and HOME is set.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts in `dir` (inside the sandbox) instead of [`TREE`].
    pub fn cwd(mut self, dir: &str) -> Self {
        self.cwd = dir.into();
        self
    }

    /// The command that runs `program args…` in the sandbox.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut c = Command::new("bwrap");
        c.args(["--die-with-parent", "--unshare-net", "--unshare-ipc", "--unshare-pid"]);
        c.arg("--bind").arg(&self.root).arg("/");
        c.args(["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]);
        for (how, from, to) in &self.binds {
            c.arg(how).arg(from).arg(to);
        }
        c.args(["--clearenv", "--setenv", "PATH", "/usr/bin:/bin:/usr/sbin:/sbin"]);
        c.args(["--setenv", "LC_ALL", "C", "--setenv", "HOME", "/tmp"]);
        for (name, value) in &self.env {
            c.args(["--setenv", name, value]);
        }
        c.args(["--chdir", &self.cwd, program]).args(args).stdin(Stdio::null());
        c
    }

    /// Runs and collects; an exit code other than 0 becomes an error that shows the output's end.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<Output> {
        run(&mut self.command(program, args), program)
    }
}

/// Runs `command`, collecting its output; a failure names `what` and shows the last lines it wrote.
pub fn run(command: &mut Command, what: &str) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = command
        .output()
        .with_context(|| format!("cannot start {program}: is it installed? (`make deps` installs what kmend needs)"))?;
    if !out.status.success() {
        bail!("{what} failed ({}):\n{}", out.status, tail(&out));
    }
    Ok(out)
}

/// The last 30 lines that a program wrote, both streams.
pub fn tail(out: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].iter().map(|l| format!("    {l}\n")).collect()
}
