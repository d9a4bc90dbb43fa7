// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend status: the verdict in one line, then the facts; or JSON, or what monitoring reads.

use super::monitor;
use crate::host::notes::Failure;
use crate::status::{count, gather, Kept, Loaded, OnDisk, Status};
use crate::{files, live, Run};
use anyhow::{Context, Result};
use clap::Args;
use kmend_shared::paint::Tone;
use std::path::PathBuf;

/// How many of a list are shown.
const SHOWN: usize = 20;
/// How many failures are shown.
const FAILURES: usize = 5;

/// What is below the options.
const EXIT_CODES: &str = "\
Exit codes:
  0  patched; or nothing to patch yet: the stream of this kernel has no live patch so far
  1  error: the state is not known
  2  not patched
  3  installed but not loaded, outdated, update available
  4  in transition, stalled
  5  expired: the live patch is in force, but there will be no newer one
  6  reboot needed
  7  unsupported: there are no live patches for this kernel
  8  no livepatch: this kernel is built without CONFIG_LIVEPATCH
  9  old check: as 0, but the last check of the repositories is too old
With --nagios: 0 to 3, as Nagios plugins have them. With --prometheus: 0, or 1 for an error.";

/// Arguments of `status`.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct StatusArgs {
    /// A check of the repositories is too old after so many days
    #[arg(long, value_name = "DAYS", default_value_t = 14)]
    max_age: u32,
    /// Print JSON instead of text; docs/status.md has the fields
    #[arg(long, group = "form")]
    json: bool,
    /// Print one line for Nagios and compatible programs
    #[arg(long, group = "form")]
    nagios: bool,
    /// Print metrics, or write them to a file for node_exporter's textfile collector (FILE.prom)
    #[arg(long, value_name = "FILE", num_args = 0..=1, group = "form")]
    prometheus: Option<Option<PathBuf>>,
}

/// Runs the command.
pub fn run(run: &Run<'_>, args: &StatusArgs) -> Result<u8> {
    match told(run, args) {
        Err(error) if args.nagios => {
            let (line, code) = monitor::nagios_error(&error);
            run.say.line(line);
            Ok(code)
        }
        done => done,
    }
}

fn told(run: &Run<'_>, args: &StatusArgs) -> Result<u8> {
    let patches = live::read(run.host)?;
    let status = gather(run.host, &patches, args.max_age)?;
    if args.nagios {
        run.say.line(monitor::nagios(&status));
        return Ok(monitor::level(&status).exit_code());
    }
    match &args.prometheus {
        Some(Some(file)) => return files::write(file, monitor::prometheus(&status).as_bytes()).map(|()| 0),
        Some(None) => {
            run.say.data(monitor::prometheus(&status).trim_end());
            return Ok(0);
        }
        None => {}
    }
    if args.json {
        run.say.data(&serde_json::to_string_pretty(&status)?);
    } else {
        let lines = text(&status);
        let (verdict, facts) = lines.split_first().context("no verdict")?;
        run.say.verdict(verdict, tone(status.verdict.exit_code()));
        run.say.lines(facts);
    }
    Ok(status.verdict.exit_code())
}

/// How the verdict looks, by its exit code.
fn tone(code: u8) -> Tone {
    match code {
        0 => Tone::Good,
        2 | 8 => Tone::Bad,
        _ => Tone::Doubtful,
    }
}

fn text(status: &Status<'_>) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", status.verdict.word(), status.summary)];
    let id = status.kernel.build_id.as_deref().unwrap_or("not shown");
    lines.push(format!("kernel: {} ({}), build id {id}", status.kernel.release, status.kernel.machine));
    lines.extend(
        status.level.iter().map(|level| format!("level: {level}, from the manifest of the live patch in force")),
    );
    lines.push(format!("signatures: {}", status.signatures.line()));
    lines.extend(status.indexes.iter().map(|index| format!("index: {}", index.line())));
    lines.extend(known(status));
    lines.extend(future(status));
    for patch in &status.loaded {
        lines.extend(loaded(patch, status.kept.iter().any(|kept| kept.file.name == patch.name)));
    }
    status.installed.iter().for_each(|file| lines.extend(installed(file)));
    for Kept { file, until } in &status.kept {
        let until = until.as_deref().unwrap_or("a newer version");
        lines.push(format!("kept: {}, until {until} is known to be good", file.name));
        lines.extend(against(file));
    }
    let stuck = "it was unloaded, but only a reboot removes it from memory";
    lines.extend(status.stuck.iter().map(|name| format!("stuck in memory: {name}: {stuck}")));
    let replaced = "nothing uses it";
    lines.extend(status.replaced.iter().map(|name| {
        format!(
            "still in memory: {name}: it was replaced or disabled, and {replaced}; `kmend unload {name}` removes it"
        )
    }));
    let failures = status.failures.len();
    let shown = status.failures.iter().skip(failures.saturating_sub(FAILURES));
    lines.extend(shown.map(failure));
    if !status.blocking.is_empty() {
        lines.push("blocking tasks:".into());
    }
    lines.extend(status.blocking.iter().flat_map(|task| task.lines()).map(|line| format!("  {line}")));
    lines.extend(status.remarks.iter().map(|remark| format!("remark: {remark}")));
    lines
}

/// Vulnerabilities.
fn known(status: &Status<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if !status.fixed_live.is_empty() {
        let ids: Vec<String> = status.fixed_live.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = more(status.fixed_live.len(), "; `kmend cve` lists all");
        let count = count(status.fixed_live.len(), "CVE");
        lines.push(format!(
            "fixed live: {count}: {}{}",
            ids.join(", "),
            more.map_or(String::new(), |m| format!(", {m}"))
        ));
    }
    if !status.not_concerned.is_empty() {
        let count = count(status.not_concerned.len(), "CVE");
        let what = if status.not_concerned.len() == 1 { "its fix changes" } else { "their fixes change" };
        lines.push(format!("not concerned: {count}; {what} no code of this kernel"));
        let shown = status.not_concerned.iter().take(SHOWN);
        lines.extend(shown.map(|one| format!("  {}: {}", one.cve, one.reason)));
        lines.extend(more(status.not_concerned.len(), "; `kmend cve` lists all").map(|more| format!("  {more}")));
    }
    if !status.not_in_stream.is_empty() {
        let count = count(status.not_in_stream.len(), "CVE");
        let them = if status.not_in_stream.len() == 1 { "it" } else { "them" };
        lines.push(format!("not fixed live: {count}; a newer kernel and a reboot may fix {them}"));
        let shown = status.not_in_stream.iter().take(SHOWN);
        lines.extend(shown.map(|missing| format!("  {}: {}", missing.cve, missing.reason)));
        lines.extend(more(status.not_in_stream.len(), "; `kmend cve` lists all").map(|more| format!("  {more}")));
    }
    lines
}

/// Until when there are live patches, and which.
fn future(status: &Status<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(support) = &status.support {
        let days = match support.days_left {
            0 => "today is the last day".into(),
            left if left < 0 => format!("over for {}", count(usize::try_from(-left).unwrap_or_default(), "day")),
            left => format!("{} from today", count(usize::try_from(left).unwrap_or_default(), "day")),
        };
        lines.push(format!("live patches until: {}, {days}", support.until.0));
    }
    if let Some(offer) = &status.available {
        let ago = match status.checked_days.and_then(|days| usize::try_from(days).ok()) {
            None | Some(0) => String::new(),
            Some(days) => format!(", {} ago", count(days, "day")),
        };
        let checked = status.checked.as_ref().map_or(String::new(), |when| format!(" (checked {when}{ago})"));
        lines.push(format!("available: {}{checked}", offer.version));
    }
    lines
}

fn loaded(patch: &Loaded<'_>, kept: bool) -> Vec<String> {
    let version = patch.version.as_ref().map_or(String::new(), |v| format!(", version {v}"));
    let installed = match (patch.installed, kept) {
        (true, _) => "",
        (false, true) => "; not installed, but kept",
        (false, false) => "; not installed, gone after a reboot",
    };
    let mut lines = vec![format!("loaded: {} [{}]{version}{installed}", patch.name, patch.state.word())];
    if let Some(fixes) = &patch.fixes {
        let missing = |missing: Option<String>| missing.map_or(String::new(), |missing| format!(" ({missing})"));
        lines.extend(fixes.iter().take(SHOWN).map(|fix| format!("  fix: {}{}", fix.title, missing(fix.missing()))));
        let all = format!("; `kmend info {}` lists all", patch.name);
        lines.extend(more(fixes.len(), &all).map(|more| format!("  {more}")));
    }
    lines.extend(patch.unproven.iter().map(|u| format!("  NOT PROVEN: {} of {}", u.function, u.object)));
    lines.extend(patch.remark.iter().map(|remark| format!("  {remark}")));
    lines
}

fn installed(file: &OnDisk) -> Vec<String> {
    let version = file.version.as_ref().map_or(String::new(), |v| format!(", version {v}"));
    let mut lines = vec![format!("installed: {}{version}", file.name)];
    lines.extend(against(file));
    lines
}

/// What rules out loading it.
fn against(file: &OnDisk) -> Vec<String> {
    let mut lines: Vec<String> = file.refused.iter().map(|reason| format!("  it does not fit: {reason}")).collect();
    let name = &file.name;
    match (&file.held_back, &file.set_aside) {
        (Some(when), _) => {
            lines.push(format!("held back: {name}: a step back at {when}; `kmend retry {name}` ends that"));
        }
        (None, aside) => lines.extend(aside.iter().map(|reason| format!("  set aside: {reason}"))),
    }
    lines
}

/// What failed, since when, why, and what to do about it, in a line.
fn failure(failure: &Failure) -> String {
    let Failure { when, since, what, module, reason, .. } = failure;
    let times = if since == when { when.clone() } else { format!("since {since}, last at {when}") };
    let advice = failure.advice.as_ref().map_or(String::new(), |advice| format!("; what you can do: {advice}"));
    format!("failed: {what} of {module}, {times}: {reason}{advice}")
}

/// `… and 7 more`, where not all of a list is shown.
fn more(count: usize, where_all: &str) -> Option<String> {
    (count > SHOWN).then(|| format!("… and {} more{where_all}", count - SHOWN))
}
