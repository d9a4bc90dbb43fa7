// SPDX-License-Identifier: GPL-2.0-or-later
//! A target: one kernel that really runs somewhere, with all that is needed to build for it and to
//! prove against it. `store` keeps targets, `distro` makes them from a distribution's packages, `tree` from a folder.

pub mod add;
pub mod archive;
pub mod buildroot;
pub mod config;
pub mod distro;
pub mod given_files;
pub mod host;
pub mod kbuild;
pub mod modules;
pub mod objtool;
pub mod options;
pub mod prepare;
pub mod record;
#[cfg(test)]
pub(crate) mod sample;
pub mod store;
pub mod toolchain;
pub mod tree;

use kmend_shared::programs;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::path::PathBuf;

pub use add::Added;

/// `program`, which ends when this process does, however that ends: what still writes must not do so
/// into a folder whose lock is gone. (setpriv is part of util-linux.)
pub(crate) fn tied(program: impl AsRef<OsStr>) -> std::process::Command {
    use std::process::{Command, Stdio};
    let program = program.as_ref();
    // A program that is missing is better missed by name.
    let mut c = if programs::find("setpriv").is_some() && programs::find(program).is_some() {
        let mut c = Command::new("setpriv");
        c.args(["--pdeathsig", "TERM", "--"]).arg(program);
        c
    } else {
        Command::new(program)
    };
    c.stdin(Stdio::null());
    c
}

/// A prepared kernel. Everything in it was checked to belong together when it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The name it is stored under: `debian:forky/7.2.12+deb14-amd64`, `tree:NAME`.
    pub name: String,
    /// Where it is from.
    pub origin: distro::Origin,
    /// Kernel architecture as `uname -m` has it: `x86_64`, `ppc64le`.
    pub arch: String,
    /// `uname -r` of the running kernel.
    pub release: String,
    /// The distribution's package version; empty for a tree.
    pub version: String,
    /// The prepared source tree on this machine.
    pub tree: PathBuf,
    /// Where the tree is inside the sandbox.
    pub tree_inside: String,
    /// The build root with its compilers; `/` for the machine itself.
    pub root: PathBuf,
    /// Variables that every `make` in the tree gets, each `NAME=value`.
    pub make_vars: Vec<String>,
    /// Environment that every `make` in the tree gets.
    pub make_env: Vec<(String, String)>,
    /// Flags that every compile of C gets beside kbuild's own, so that it comes out as the shipped one did.
    #[serde(default)]
    pub cc_flags: Vec<String>,
    /// The shipped kernel image as it boots (vmlinuz).
    pub vmlinuz: PathBuf,
    /// The ELF inside of it (no symbol table in a distribution's kernel).
    pub vmlinux: PathBuf,
    /// `lib/modules/<release>` with the shipped modules, where there are any.
    pub modules: Option<PathBuf>,
    /// The kernel's Module.symvers.
    pub symvers: PathBuf,
    /// The kernel's .config.
    pub config: PathBuf,
    /// The C compiler's own words, as the kernel's record has them too.
    pub cc: String,
    /// rustc's own words; None where the kernel has no CONFIG_RUST.
    pub rustc: Option<String>,
    /// The Rust toolchain for a kernel that has no CONFIG_RUST; None where the kernel has its own.
    #[serde(default)]
    pub toolchain: Option<toolchain::Toolchain>,
    /// The kernel's build id (GNU note of the image), hexadecimal.
    pub build_id: String,
    /// Of a target that was imported, the checksum of all that it was imported from (SHA-256 of the archive's header, hexadecimal).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<String>,
}

impl Target {
    /// The sandbox in which this target's compilers run, the tree mounted read-only.
    pub fn sandbox(&self) -> crate::sandbox::Sandbox {
        let s = crate::sandbox::Sandbox::new(&self.root).read_only(&self.tree, &self.tree_inside);
        self.with_env(s)
    }

    /// The same with the tree writable, for kbuild runs in the tree itself.
    pub fn sandbox_writable(&self) -> crate::sandbox::Sandbox {
        let s = crate::sandbox::Sandbox::new(&self.root).writable(&self.tree, &self.tree_inside);
        self.with_env(s)
    }

    /// The same with every path changed by `change`, less what is a place inside of the sandbox.
    pub(crate) fn with_paths(self, change: impl Fn(PathBuf) -> PathBuf) -> Self {
        let toolchain = self.toolchain.map(|t| toolchain::Toolchain { root: change(t.root), ..t });
        Self {
            tree: change(self.tree),
            root: change(self.root),
            vmlinuz: change(self.vmlinuz),
            vmlinux: change(self.vmlinux),
            modules: self.modules.map(&change),
            symvers: change(self.symvers),
            config: change(self.config),
            toolchain,
            ..self
        }
    }

    fn with_env(&self, mut s: crate::sandbox::Sandbox) -> crate::sandbox::Sandbox {
        for (name, value) in &self.make_env {
            s = s.env(name, value);
        }
        s.cwd(&self.tree_inside)
    }
}
