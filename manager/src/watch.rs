// SPDX-License-Identifier: GPL-2.0-or-later
//! Has systemd look after a load: a transient service that lives for ten minutes and then runs `kmend settle`. Where the
//! host shuts down in good order before that, it runs `kmend shutdown-mark`; where it crashes, neither.

use crate::breaker::SETTLING;
use crate::Run;
use std::process::{Command, Stdio};

/// There is such a folder where systemd runs (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// What it runs when it is stopped: `exited` is its own end after ten minutes, all else may be a shutdown.
const AT_STOP: &str = r#"ExecStopPost=/bin/sh -c '[ "$EXIT_CODE" = exited ] || exec "$0" shutdown-mark' "#;

/// Whether the host is going down, by systemd: a stop of kpatch.service, or of the transient service, alone does not say that.
/// Where systemd does not run, whoever calls knows. Where it does not answer, nothing is known to be good.
pub fn goes_down(run: &Run<'_>) -> bool {
    if !run.host.at(SYSTEMD).is_dir() {
        return true;
    }
    // It ends with 1 for all that is not `running` (systemctl(1)).
    let asked = Command::new("systemctl").arg("is-system-running").stdin(Stdio::null()).output();
    match asked {
        Ok(output) => output.stdout.trim_ascii() == b"stopping",
        Err(error) => {
            run.say.warn(format!("systemctl cannot be run ({error}): whether the host is going down is not known"));
            false
        }
    }
}

/// Starts it where systemd runs. A failure is told and no more: the next run of kmend looks, too.
pub fn start(run: &Run<'_>) {
    if !run.host.at(SYSTEMD).is_dir() {
        return;
    }
    let program = std::env::current_exe().ok().and_then(|path| path.to_str().map(String::from));
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    let Some(program) = program.filter(|path| path.chars().all(plain)) else { return };
    let mut systemd_run = Command::new("systemd-run");
    systemd_run.args([
        "--quiet",
        "--no-block",
        "--collect",
        "--description=kmend: looks whether a load was good",
        "-p",
    ]);
    systemd_run.arg(format!("{AT_STOP}{program}"));
    systemd_run.args(["/bin/sh", "-c", &format!("sleep {SETTLING}; exec \"$0\" settle"), &program]);
    match systemd_run.stdin(Stdio::null()).output() {
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().lines().next_back().unwrap_or("it does not say why");
            run.say.warn(format!(
                "systemd-run failed ({said}): run `kmend status` in ten minutes, so that this load is known to be good"
            ));
        }
        _ => {}
    }
}
