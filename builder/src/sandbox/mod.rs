// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs a target's own tools: in its build root, at one fixed path, with an empty environment, so that
//! the same inputs give the same bytes on every machine; and so that what a fix makes them do stays there.
//!
//! Inside the sandbox: only the folders that a build writes to are writable; no capabilities, no new privileges; no
//! network, no devices but the harmless ones, no processes of the host, no sysfs; a user namespace of its own where the
//! machine allows it; [`Limits`] of time, memory, processes and output. docs/security.md explains why.

mod isolation;
mod limits;
mod run;

pub use limits::Limits;
pub use run::{run, tail, within};

use anyhow::Result;
use isolation::Isolation;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The prepared kernel tree's folder inside the sandbox.
pub const TREE: &str = "/tmp/kmend/linux";

/// Where a run's own folder is inside the sandbox.
pub const WORK: &str = "/tmp/kmend/work";

/// A command line to be run in a build root through bubblewrap.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// The build root's folder; `/` means the machine's own compilers.
    pub root: PathBuf,
    binds: Vec<(&'static str, PathBuf, String)>,
    env: Vec<(String, String)>,
    cwd: String,
    limits: Limits,
}

/// Folders at the top of a root that no tool needs: empty inside, or made for it.
const HIDDEN: &[&str] =
    &["boot", "dev", "home", "lost+found", "media", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var"];
/// Below `/etc` of the machine's own root: secrets.
const SECRET: &[&str] = &["shadow", "shadow-", "gshadow", "gshadow-", "ssh", "ssl/private", "sudoers", "sudoers.d"];
/// Devices that hold nothing and do nothing.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];
/// What bubblewrap itself is started with: it is process 1 inside, and /proc shows its environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether tools see what is called `name` at the top of a build root.
pub fn is_shown(name: &str) -> bool {
    !HIDDEN.contains(&name)
}

/// Whether this machine lets anybody make a sandbox. To be asked before a compiler that does not start is taken for a broken one.
///
/// # Errors
/// It does not: the cause, and the ways out.
pub fn possible() -> Result<()> {
    isolation::of_this_machine().map(|_| ())
}

impl Sandbox {
    /// A sandbox in `root` (`/` for the machine itself) that starts in [`TREE`].
    pub fn new(root: &Path) -> Self {
        let limits = Limits::of_tools();
        Self { root: root.into(), binds: Vec::new(), env: Vec::new(), cwd: TREE.into(), limits }
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

    /// Other limits than those for a single tool.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The command that runs `program args…` in the sandbox, for callers that read its output as it comes: time and output are
    /// theirs to limit.
    ///
    /// # Errors
    /// No sandbox can be made on this machine; says why, and the ways out.
    pub fn command(&self, program: &str, args: &[&str]) -> Result<Command> {
        Ok(self.command_by(isolation::of_this_machine()?, program, args))
    }

    fn command_by(&self, isolation: Isolation, program: &str, args: &[&str]) -> Command {
        let mut c = self.limits.command("bwrap");
        c.env_clear().env("PATH", PATH).stdin(Stdio::null());
        c.args(["--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
        c.args(["--unshare-net", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]);
        if isolation == Isolation::OwnUsers {
            c.args(["--unshare-user", "--uid", "0", "--gid", "0"]);
        }
        self.show_root(&mut c);
        for (how, from, to) in &self.binds {
            c.arg(how).arg(from).arg(to);
        }
        c.args(["--remount-ro", "/"]);
        c.args(["--clearenv", "--setenv", "PATH", "/usr/bin:/bin:/usr/sbin:/sbin"]);
        c.args(["--setenv", "LC_ALL", "C", "--setenv", "HOME", "/tmp"]);
        for (name, value) in &self.env {
            c.args(["--setenv", name, value]);
        }
        c.args(["--chdir", &self.cwd, program]).args(args);
        c
    }

    /// An empty root, with what is at the top of the build root in it, read-only.
    fn show_root(&self, c: &mut Command) {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().filter_map(std::result::Result::ok);
        let mut entries: Vec<_> = entries.map(|e| e.file_name()).collect();
        entries.sort();
        for name in entries.iter().filter(|name| !HIDDEN.iter().any(|h| name.as_os_str() == *h)) {
            let (from, to) = (self.root.join(name), Path::new("/").join(name));
            match std::fs::read_link(&from) {
                Ok(target) => c.arg("--symlink").arg(target).arg(to),
                Err(_) => c.arg("--ro-bind").arg(from).arg(to),
            };
        }
        if self.root == Path::new("/") {
            for secret in SECRET.iter().map(|s| Path::new("/etc").join(s)) {
                match std::fs::metadata(&secret) {
                    Ok(found) if found.is_dir() => c.arg("--tmpfs").arg(secret),
                    Ok(_) => c.args(["--ro-bind", "/dev/null"]).arg(secret),
                    Err(_) => continue,
                };
            }
        }
        // The tools may be root outside, who owns /proc/sys.
        c.args(["--proc", "/proc", "--remount-ro", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/dev", "--dir", "/var/tmp"]);
        for device in DEVICES {
            let path = format!("/dev/{device}");
            c.args(["--dev-bind", &path, &path]);
        }
        c.args(["--symlink", "/proc/self/fd", "/dev/fd", "--remount-ro", "/dev"]);
    }

    /// Runs it within the limits, whatever its exit code is.
    ///
    /// # Errors
    /// It cannot be started; it runs past a limit, named with how to raise it.
    pub fn output(&self, program: &str, args: &[&str]) -> Result<Output> {
        run::within(&mut self.command(program, args)?, program, &self.limits)
    }

    /// Runs and collects; an exit code other than 0 becomes an error that shows the output's end.
    ///
    /// # Errors
    /// As [`Sandbox::output`], and the exit code.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<Output> {
        run::succeeded(self.output(program, args)?, program)
    }
}

#[cfg(test)]
mod tests;
