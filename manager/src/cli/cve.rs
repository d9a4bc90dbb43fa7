// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend cve: what is known of vulnerabilities on this host.

use crate::known::{self, Known, State};
use crate::live;
use crate::module::cve::Cve;
use crate::module::preflight::Kernel;
use crate::Run;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

/// What is below the options.
const EXIT_CODES: &str = "\
Exit codes:
  0  each CVE given is fixed, live or by the kernel itself, or does not concern this kernel; or none was given
  1  error
  2  at least one is known and not fixed
  3  at least one is unknown, and none is known to be unfixed";

/// Arguments of `cve`.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct CveArgs {
    /// Ids such as CVE-2026-12345 [default: all that are known]
    #[arg(value_name = "CVE")]
    ids: Vec<Cve>,
    /// Print JSON instead of text; docs/status.md has the fields
    #[arg(long)]
    json: bool,
}

/// The JSON.
#[derive(Serialize)]
struct Answer<'a> {
    schema_version: u32,
    release: &'a str,
    cves: &'a [Known<'a>],
}

/// Runs the command.
pub fn run(run: &Run<'_>, args: &CveArgs) -> Result<u8> {
    let kernel = Kernel::running(run.host)?;
    let patches = live::read(run.host)?;
    let live = live::understand(&patches, &kernel);
    let notes = known::waiting(run.host, &kernel, &live)?;
    let waiting = known::claims(&notes);
    let all = known::all(&live, &waiting);
    let asked: Vec<Known<'_>> = args.ids.iter().map(|id| known::find(&all, *id)).collect();
    let shown = if args.ids.is_empty() { &all } else { &asked };
    if args.json {
        let answer = Answer { schema_version: 1, release: &kernel.release, cves: shown };
        run.say.data(&serde_json::to_string_pretty(&answer)?);
    } else if shown.is_empty() {
        run.say.line("no live patch that is in force or installed for this kernel names a CVE");
    } else {
        run.say.lines(shown.iter().map(line));
    }
    Ok(code(&asked))
}

fn code(asked: &[Known<'_>]) -> u8 {
    let is_missing = |known: &Known<'_>| !known.state.is_good() && known.state != State::Unknown;
    match asked {
        _ if asked.iter().any(is_missing) => 2,
        _ if asked.iter().any(|known| known.state == State::Unknown) => 3,
        _ => 0,
    }
}

fn line(known: &Known<'_>) -> String {
    let module = known.module.unwrap_or_default();
    let since = known.since.map_or(String::new(), |since| format!(" since version {since}"));
    let severity = known.severity.map_or(String::new(), |severity| format!(", {}", severity.name()));
    let more = match known.state {
        State::FixedLive => {
            let not_told = known.reason.map_or(String::new(), |reason| format!(" ({reason})"));
            format!(" by {module}{since}{severity}{not_told}")
        }
        State::FixedByKernel => String::new(),
        State::NotLoaded => {
            format!(": {module} fixes it{since}, and is installed but not in force{severity}; see `kmend status`")
        }
        State::NotConcerned => format!(": {}", known.reason.unwrap_or_default()),
        State::NotInStream => {
            let reason = known.reason.unwrap_or_default();
            format!(": {reason}; a newer kernel and a reboot may fix it")
        }
        State::Unknown => ": no live patch that is in force or installed for this kernel names it".into(),
    };
    format!("{}: {}{more}", known.id, known.state.words())
}
