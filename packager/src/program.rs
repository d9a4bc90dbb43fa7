// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs of the machine.

use anyhow::{ensure, Context, Result};
use std::process::Command;

/// Runs `command` and gives its output; `package` is Debian's with the program.
pub(crate) fn run(command: &mut Command, package: &str) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.env("LC_ALL", "C").output().with_context(|| {
        format!("cannot start {name}: it is in Debian's package {package} (`make deps` installs it)")
    })?;
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{name} ended with {}:\n{}\n{}", out.status, shown.trim_end(), errors.trim_end());
    Ok(shown)
}
