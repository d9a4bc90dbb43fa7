// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend status: the verdict in one line, then the facts; or JSON.

use crate::status::{gather, Status};
use crate::Run;
use anyhow::Result;
use clap::Args;

/// Arguments of `status`.
///
/// Exit codes: 0 patched; 2 not patched, and nothing is installed for this kernel; 3 what is installed is not (all)
/// loaded, or an older version is; 4 a transition is under way or stalled; 1 an error.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct StatusArgs {
    /// Print JSON instead of text; docs/operators.md has the fields
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(run: &Run<'_>, args: &StatusArgs) -> Result<u8> {
    let status = gather(run.host)?;
    if args.json {
        run.say.line(serde_json::to_string_pretty(&status)?);
    } else {
        text(&status).iter().for_each(|line| run.say.line(line));
    }
    Ok(status.verdict.exit_code())
}

fn text(status: &Status) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", status.verdict.word(), status.summary)];
    let id = status.kernel.build_id.as_deref().unwrap_or("not shown");
    lines.push(format!("kernel: {} ({}), build id {id}", status.kernel.release, status.kernel.machine));
    for patch in &status.loaded {
        let version = patch.version.as_ref().map_or(String::new(), |v| format!(", version {v}"));
        let installed = if patch.installed { "" } else { "; not installed, gone after a reboot" };
        lines.push(format!("loaded: {} [{}]{version}{installed}", patch.name, patch.state.word()));
        lines.extend(patch.fixes.iter().flatten().map(|fix| format!("  fix: {}", fix.title)));
        lines.extend(patch.unproven.iter().map(|u| format!("  NOT PROVEN: {} of {}", u.function, u.object)));
        lines.extend(patch.remark.iter().map(|remark| format!("  {remark}")));
    }
    for file in &status.installed {
        let version = file.version.as_ref().map_or(String::new(), |v| format!(", version {v}"));
        lines.push(format!("installed: {}{version}", file.name));
        lines.extend(file.refused.iter().map(|reason| format!("  it does not fit: {reason}")));
    }
    if !status.blocking.is_empty() {
        lines.push("blocking tasks:".into());
    }
    lines.extend(status.blocking.iter().flat_map(|task| task.lines()).map(|line| format!("  {line}")));
    lines
}
