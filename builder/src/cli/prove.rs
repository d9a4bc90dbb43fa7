// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build prove: source files in; which of their functions are in the shipped kernel, byte for byte, out.

use crate::error::Ended;
use crate::files;
use crate::prove::report::{Prover, UnitReport};
use crate::reach::affected;
use crate::target::kbuild::Unit;
use crate::{progress, target};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

/// Show that source files, rebuilt, are what the shipped kernel runs.
///
/// Compiles each unit as kbuild does and compares its functions with those in the shipped image or module:
/// every byte, and every reference by where it leads.
/// Exit code 0: each function is there; 1: error; 2: some do not.
#[derive(Args)]
pub struct ProveArgs {
    /// The kernel, as listed by `target list`
    #[arg(short, long)]
    target: String,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Source files, relative to the target's tree
    #[arg(required = true, value_name = "FILE.c")]
    sources: Vec<String>,
}

/// All that was compared.
#[derive(Serialize)]
struct Report {
    target: String,
    release: String,
    build_id: String,
    units: Vec<UnitReport>,
    functions: usize,
    proven: usize,
}

/// Runs the command.
pub fn run(args: &ProveArgs) -> Result<()> {
    let target = target::store::load(&args.target)?;
    let sources: Vec<&str> = args.sources.iter().map(|s| s.trim_start_matches("./")).collect();
    let units = affected::reached_by(&target, &sources)?;
    let work = files::work_dir()?;
    let all: Vec<&Unit> = units.iter().collect();
    let step = progress::step("comparing with the shipped kernel");
    let all = Prover::load(&target, units.first())?.compare(&all, work.path())?;
    step.done("");
    let (functions, proven) = (all.iter().map(|u| u.functions).sum(), all.iter().map(|u| u.proven).sum());
    let report = Report {
        target: target.name.clone(),
        release: target.release,
        build_id: target.build_id,
        units: all,
        functions,
        proven,
    };
    if args.json {
        print_json!(serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", text(&report));
    }
    if proven == functions {
        return Ok(());
    }
    Err(Ended::unproven(functions - proven, functions, &target.name).into())
}

/// The report for a person.
fn text(report: &Report) -> String {
    let mut out = String::new();
    let wide = |of: fn(&UnitReport) -> &str| report.units.iter().map(|u| of(u).len()).max().unwrap_or(0);
    let (source, object) = (wide(|u| &u.source), wide(|u| &u.object));
    for unit in &report.units {
        out +=
            &format!("{:source$}  {:object$}  {:>5} of {:>5}\n", unit.source, unit.object, unit.proven, unit.functions);
        for d in &unit.differs {
            out += &format!("  {}+{:#x}: {}\n", d.function, d.offset, d.reason);
            if !d.cause.is_empty() {
                out += &format!("    {}\n", d.cause);
            }
            d.code.lines().for_each(|line| out += &format!("      {line}\n"));
        }
    }
    out + &format!("{} of {} functions match the shipped kernel {}\n", report.proven, report.functions, report.release)
}
