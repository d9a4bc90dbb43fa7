// SPDX-License-Identifier: GPL-2.0-or-later
//! Debian's way to `auto`: kmend-subscribe.timer, with a script of the kernel packages' hooks that starts the same service. A
//! deb cannot ask for something depending on what else is installed, as the RPM kpatch-patches does.

use crate::Run;
use anyhow::{bail, ensure, Context, Result};
use std::process::{Command, Output, Stdio};

/// The unit.
const TIMER: &str = "kmend-subscribe.timer";

/// Enables the timer, or disables it; where systemd runs, at once.
///
/// # Errors
/// There is no systemd, or no such unit.
pub fn set(run: &Run<'_>, on: bool) -> Result<()> {
    let verb = if on { "enable" } else { "disable" };
    let mut args = vec![verb, "--quiet"];
    if run.host.at("/run/systemd/system").is_dir() {
        args.push("--now");
    }
    args.push(TIMER);
    let output = systemctl(&args)?;
    ensure!(
        output.status.success(),
        "`systemctl {}` failed ({}): {}",
        args.join(" "),
        output.status,
        last_line(&output.stderr)
    );
    Ok(())
}

/// Whether it is enabled.
///
/// # Errors
/// There is no systemd, or it cannot tell.
pub fn is_set() -> Result<bool> {
    let output = systemctl(&["is-enabled", TIMER])?;
    // is-enabled ends with 1 for all that is not enabled, and names it; a unit that is not there is an empty line, or
    // `not-found` (systemctl(1), since 255).
    let state = String::from_utf8_lossy(&output.stdout);
    match state.trim() {
        "enabled" | "enabled-runtime" => Ok(true),
        "disabled" | "masked" | "masked-runtime" | "static" | "" | "not-found" => Ok(false),
        other => bail!("`systemctl is-enabled {TIMER}` says {other:?}: {}", last_line(&output.stderr)),
    }
}

fn systemctl(args: &[&str]) -> Result<Output> {
    let mut command = Command::new("systemctl");
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
    command.output().context(
        "cannot run systemctl: live patches come by themselves where systemd starts kmend-subscribe.timer; elsewhere let cron \
         run `kmend subscribe install --missing`",
    )
}

fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    said.trim().lines().next_back().unwrap_or("it does not say why").to_string()
}
