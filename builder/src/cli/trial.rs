// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build try: a finished live patch on its target's own kernel, in a guest.

use super::kernels::Table;
use crate::error::{Ended, Ending};
use crate::target::store;
use crate::trial::{self, FunctionSeen, Order, Phase, ProbeSeen, Report, Run, Subject, Wishes, LONGEST};
use anyhow::{ensure, Error, Result};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Try a finished live patch on the kernel that it is for, in QEMU.
///
/// Boots the target's own kernel, loads the live patch, waits for its transition, looks that the functions are replaced, reverts and
/// removes it, and reads the kernel's log. Where it changes modules, that is done with these never loaded, loaded after the live
/// patch, and loaded before it. A probe is run before, under and after the live patch. docs/try.md has the fields of --json.
/// Exit code 0: all well; 1: error; 2: it is for another kernel; 4: the guest showed a fault.
#[derive(Args)]
pub struct TryArgs {
    /// The live patch, also compressed (.ko, .ko.xz, .ko.zst, .ko.gz)
    #[arg(value_name = "NAME.ko")]
    module: PathBuf,
    /// The kernel, as listed by `target list`
    #[arg(short, long)]
    target: String,
    /// A shell script that shows what the fix does; it is run with `before`, `patched` and `reverted`
    #[arg(long, value_name = "FILE")]
    probe: Option<PathBuf>,
    /// Count it as a fault if the probe prints the same with the live patch as without
    #[arg(long, requires = "probe")]
    expect_change: bool,
    /// A shipped module that the probe needs, loaded first; can be given more than once
    #[arg(long = "module", value_name = "NAME")]
    modules: Vec<String>,
    /// How long each run of the probe may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=LONGEST))]
    timeout: u64,
    /// Start a shell in the guest in place of the trial
    #[arg(long, conflicts_with_all = ["json", "expect_change"])]
    shell: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &TryArgs) -> Result<()> {
    let report = match carry_out(args) {
        Ok(Some(report)) => report,
        Ok(None) => return Ok(()),
        Err(error) => {
            if args.json {
                print_json!(error_json(&error)?);
            }
            return Err(error);
        }
    };
    if args.json {
        print_json!(serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", text(&report));
    }
    match report.faults() {
        0 => Ok(()),
        faults => Err(Ended::faulty(&report.live_patch, &report.target.name, faults).into()),
    }
}

/// The report; None after a shell.
fn carry_out(args: &TryArgs) -> Result<Option<Report>> {
    // Both, as what is typed and what comes back go through QEMU.
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    ensure!(!args.shell || terminal, "--shell needs a terminal for its input and output");
    let wishes = Wishes {
        probe: args.probe.as_deref().map(trial::read_probe).transpose()?,
        modules: args.modules.clone(),
        seconds: Some(args.timeout),
        expect_change: args.expect_change,
    };
    let target = store::load(&args.target)?;
    let subject = Subject::read(&args.module, &target, &wishes)?;
    match args.shell {
        true => subject.shell().map(|()| None),
        false => subject.run(&wishes).map(Some),
    }
}

/// `--json`, where nothing was tried.
fn error_json(error: &Error) -> Result<String> {
    #[derive(Serialize)]
    struct Failed {
        schema_version: u32,
        result: &'static str,
        error: String,
    }
    let result = Ending::of(error).word();
    Ok(serde_json::to_string_pretty(&Failed { schema_version: trial::SCHEMA, result, error: format!("{error:#}") })?)
}

/// The report for a person.
fn text(report: &Report) -> String {
    let Report { live_patch, target, accelerator, runs, .. } = report;
    let mut out = format!("{live_patch} on {} ({}, {accelerator})\n\n", target.name, target.arch);
    let mut table = Table::new(&["MODULES", "RESULT", "ENTERED", "PROBE"]);
    for run in runs {
        table.row([in_words(run.modules).into(), verdict(run).into(), entered(run), probe_in_a_word(run)]);
    }
    out += &table.text();
    if runs.iter().any(|run| !run.functions.is_empty()) {
        let mut table = Table::new(&["FUNCTION", "ENTRIES WHILE THE PROBE RAN"]);
        for (at, f) in runs[0].functions.iter().enumerate() {
            let counts = runs.iter().filter_map(|run| Some((run, run.functions.get(at)?)));
            let cells: Vec<String> = counts.map(|(run, f)| of_run(run.modules, count(f))).collect();
            table.row([format!("{} ({})", f.name, f.object), cells.join(", ")]);
        }
        out += &format!("\n{}", table.text());
    }
    for run in runs.iter().filter(|run| !run.probe.is_empty()) {
        out += &format!("\nprobe, {}\n{}", in_words(run.modules), probe(&run.probe));
    }
    let mut remarks = String::new();
    for run in runs {
        let place = in_words(run.modules);
        run.notes.iter().for_each(|note| remarks += &format!("note: {place}: {note}\n"));
        for fault in &run.faults {
            remarks += &format!("failed: {place}: {} ({})\n", fault.text, fault.code);
        }
        run.log.iter().for_each(|line| remarks += &format!("    {line}\n"));
        if !run.console.is_empty() {
            remarks += "  the last of its console:\n";
            run.console.iter().for_each(|line| remarks += &format!("    {line}\n"));
        }
    }
    report.notes.iter().for_each(|note| remarks += &format!("note: {note}\n"));
    if !remarks.is_empty() {
        out += &format!("\n{remarks}");
    }
    out
}

/// What a run does about the modules.
fn in_words(order: Order) -> &'static str {
    match order {
        Order::Plain => "none patched",
        Order::Never => "never loaded",
        Order::After => "loaded after it",
        Order::Before => "loaded before it",
    }
}

fn of_run(order: Order, count: String) -> String {
    match order {
        Order::Plain => count,
        _ => format!("{} {count}", order.name()),
    }
}

fn verdict(run: &Run) -> &'static str {
    if run.passed {
        "passed"
    } else {
        "FAILED"
    }
}

fn count(f: &FunctionSeen) -> String {
    match f.entries {
        None => "-".into(),
        Some(n) if f.at_least => format!("at least {n}"),
        Some(n) => n.to_string(),
    }
}

/// `2 of 3`: functions that were entered, of those whose entries were counted.
fn entered(run: &Run) -> String {
    let counted: Vec<u64> = run.functions.iter().filter_map(|f| f.entries).collect();
    match counted.is_empty() {
        true => "-".into(),
        false => format!("{} of {}", counted.iter().filter(|n| **n > 0).count(), counted.len()),
    }
}

/// How the probe's words under the live patch are to those without.
fn probe_in_a_word(run: &Run) -> String {
    let Some(patched) = run.probe.get(&Phase::Patched) else { return "-".into() };
    let others = [Phase::Before, Phase::Reverted].into_iter().find_map(|phase| run.probe.get(&phase));
    let says = |other: &ProbeSeen| if other.says_the_same(patched) { "the same" } else { "changes" };
    others.map_or("-", says).into()
}

/// What the probe said. A phase in which it says what it said before is not shown again.
fn probe(phases: &BTreeMap<Phase, ProbeSeen>) -> String {
    let mut out = String::new();
    let mut shown: Vec<(Phase, &ProbeSeen)> = Vec::new();
    for (phase, seen) in phases {
        let name = phase.name();
        let same = shown.iter().find(|(_, other)| other.says_the_same(seen) && other.stderr == seen.stderr);
        if let Some((other, _)) = same {
            out += &format!("  {name}: as {}\n", other.name());
            continue;
        }
        out += &format!("  {name}: exit code {}\n", seen.exit);
        seen.stdout.iter().for_each(|line| out += &format!("    | {line}\n"));
        seen.stderr.iter().for_each(|line| out += &format!("    ! {line}\n"));
        if seen.cut {
            out += "    (what follows is left out)\n";
        }
        shown.push((*phase, seen));
    }
    out
}
