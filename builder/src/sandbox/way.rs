// SPDX-License-Identifier: GPL-2.0-or-later
//! What the machine lets a sandbox have: tried once, with the word of the kernel where it refuses.

use super::Sandbox;
use crate::progress;
use anyhow::{bail, Result};
use std::path::Path;
use std::sync::OnceLock;

/// How the sandbox is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With a user namespace of its own: the tools are no one outside.
    OwnUsers,
    /// Without one, as root of the host, who has no capabilities inside.
    AsRoot,
}

/// The best way that works here; the reason why a better one does not is said once.
///
/// # Errors
/// None works.
pub fn of_this_machine() -> Result<Way> {
    static FOUND: OnceLock<std::result::Result<Way, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let refused = match tried(Way::OwnUsers) {
            Ok(()) => return Ok(Way::OwnUsers),
            Err(why) => why,
        };
        match tried(Way::AsRoot) {
            Ok(()) => {
                progress::note(&format!(
                    "no user namespaces here ({refused}): the compilers run as root without capabilities, behind read-only mounts"
                ));
                Ok(Way::AsRoot)
            }
            Err(_) => Err(refused),
        }
    });
    match found {
        Ok(way) => Ok(*way),
        Err(why) => bail!("{}", hopeless(why)),
    }
}

fn tried(way: Way) -> std::result::Result<(), String> {
    match Sandbox::new(Path::new("/")).cwd("/").command_by(way, "true", &[]).output() {
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
