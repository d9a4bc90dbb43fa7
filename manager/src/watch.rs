// SPDX-License-Identifier: GPL-2.0-or-later
//! Has systemd look after a load: a transient service that lives for ten minutes and then runs `kmend settle`. Where the
//! host shuts down in good order before that, it runs `kmend shutdown-mark`; where it crashes, neither.

use crate::breaker::SETTLING;
use crate::Run;
use std::process::{Command, Stdio};

/// What it runs when it is stopped: `exited` is its own end after ten minutes, all else a shutdown.
const AT_STOP: &str = r#"ExecStopPost=/bin/sh -c '[ "$EXIT_CODE" = exited ] || exec "$0" shutdown-mark' "#;

/// Starts it where systemd runs. A failure is told and no more: the next run of kmend looks, too.
pub fn start(run: &Run<'_>) {
    if !run.host.at("/run/systemd/system").is_dir() {
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
