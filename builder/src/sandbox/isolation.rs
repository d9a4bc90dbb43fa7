// SPDX-License-Identifier: GPL-2.0-or-later
//! How a sandbox is isolated from the machine. Which form the kernel allows is tried once per run; if it refuses, its
//! error message is kept.

use super::Sandbox;
use crate::progress;
use anyhow::{bail, Result};
use std::path::Path;
use std::sync::OnceLock;

/// How the sandbox is isolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// With a user namespace of its own: outside of it the tools have no rights.
    OwnUsers,
    /// Without a user namespace, as the host's root without capabilities.
    AsRoot,
}

/// The best isolation that works here. Prints once why a better one does not.
///
/// # Errors
/// No form works.
pub fn of_this_machine() -> Result<Isolation> {
    static FOUND: OnceLock<std::result::Result<Isolation, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let refused = match tried(Isolation::OwnUsers) {
            Ok(()) => return Ok(Isolation::OwnUsers),
            Err(why) => why,
        };
        match tried(Isolation::AsRoot) {
            Ok(()) => {
                progress::note(&format!(
                    "no user namespaces here ({refused}): the compilers run as root without capabilities, behind read-only mounts"
                ));
                Ok(Isolation::AsRoot)
            }
            Err(_) => Err(refused),
        }
    });
    match found {
        Ok(isolation) => Ok(*isolation),
        Err(why) => bail!("{}", hopeless(why)),
    }
}

fn tried(isolation: Isolation) -> std::result::Result<(), String> {
    match Sandbox::new(Path::new("/")).cwd("/").command_by(isolation, "true", &[]).output() {
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => Err(String::from_utf8_lossy(&out.stderr).lines().last().unwrap_or("bwrap says nothing").to_string()),
        Err(e) => Err(format!(
            "it cannot be started ({e}): are bubblewrap and util-linux installed? `make deps` installs what kmend needs"
        )),
    }
}

fn hopeless(why: &str) -> String {
    format!(
        "compilers run in a sandbox of namespaces, and this machine does not allow one: {why}\n  \
         in a container: `podman run --security-opt unmask=ALL`, or --privileged (docs/containers.md);\n  \
         elsewhere: switch on user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, \
         kernel.apparmor_restrict_unprivileged_userns), or run it as root with CAP_SYS_ADMIN"
    )
}
