// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build prove: source files in; which of their functions stand in the shipped kernel, byte for byte, out.

use crate::compile::{self, Unit};
use crate::elf::read::{read, Take};
use crate::error::Unproven;
use crate::image::{modules, Image};
use crate::progress;
use crate::prove::module::Module;
use crate::prove::{stage, Verdict};
use crate::source::affected;
use crate::target;
use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;

/// Show that source files, rebuilt, are what the shipped kernel runs.
///
/// Compiles each unit as kbuild does and compares its functions with those in the shipped image or module:
/// every byte, and every reference by where it leads.
/// Exit code 0: each function stands there; 1: error; 2: some do not.
#[derive(Args)]
pub struct ProveArgs {
    /// The kernel, as `target list` shows it
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

#[derive(Serialize)]
struct UnitReport {
    source: String,
    /// `vmlinux`, or the module's name.
    object: String,
    functions: usize,
    proven: usize,
    differs: Vec<Difference>,
}

#[derive(Serialize)]
struct Difference {
    function: String,
    /// Where it was compared; none where no place was found.
    at: Option<String>,
    /// Offset of the first difference in the function.
    offset: u64,
    reason: String,
}

/// Runs the command.
pub fn run(args: &ProveArgs) -> Result<()> {
    let target = target::store::load(&args.target)?;
    let sources: Vec<&str> = args.sources.iter().map(|s| s.trim_start_matches("./")).collect();
    let units = affected::reached_by(&target, &sources)?;
    let work = tempfile::Builder::new().prefix("kmend-").tempdir().context("cannot make a temporary folder")?;
    let all: Vec<&Unit> = units.iter().collect();
    let objects = compile::compile_shipped(&target, &all, false, work.path())?;
    let step = progress::step("comparing with the shipped kernel");
    let image = compile::probe::image(&target, units.first())?;
    let mut modules = BTreeMap::new();
    for name in units.iter().filter_map(|u| u.module.as_ref()) {
        if !modules.contains_key(name) {
            modules.insert(name.clone(), modules::load(&target, name)?);
        }
    }
    let compare_all = |units: &[&Unit], objects: &[Vec<u8>]| -> Result<Vec<UnitReport>> {
        units.iter().zip(objects).map(|(unit, object)| compare(unit, object, &image, &modules)).collect()
    };
    let mut all = compare_all(&all, &objects)?;
    step.done("");
    // The last thing in which the rebuilt units were not compiled as the shipped ones.
    let doubtful: Vec<usize> = (0..all.len()).filter(|&i| all[i].proven < all[i].functions).collect();
    if !doubtful.is_empty() {
        let again: Vec<&Unit> = doubtful.iter().map(|&i| &units[i]).collect();
        let objects = compile::compile_shipped(&target, &again, true, work.path())?;
        for (i, report) in doubtful.into_iter().zip(compare_all(&again, &objects)?) {
            // A function that stands there either way does.
            all[i].differs.retain(|d| report.differs.iter().any(|other| other.function == d.function));
            all[i].proven = all[i].functions - all[i].differs.len();
        }
    }
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
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", text(&report));
    }
    if proven == functions {
        return Ok(());
    }
    Err(Unproven { functions: functions - proven, total: functions, target: target.name }.into())
}

fn compare(unit: &Unit, object: &[u8], image: &Image, modules: &BTreeMap<String, Module>) -> Result<UnitReport> {
    let object = read(object, Take::NoDebug).with_context(|| format!("{} (as shipped)", unit.object))?;
    let module = unit.module.as_deref();
    let proof = stage::prove_unit(&object, module, image, modules)?;
    let mut differs = Vec::new();
    for (function, verdict) in &proof.functions {
        if let Verdict::Differs { at, offset, why } = verdict {
            let at = at.map(|at| stage::describe(at, module, image, modules)).transpose()?;
            differs.push(Difference { function: function.clone(), at, offset: *offset, reason: why.clone() });
        }
    }
    Ok(UnitReport {
        source: unit.source.clone(),
        object: module.unwrap_or("vmlinux").into(),
        functions: proof.functions.len(),
        proven: proof.proven(),
        differs,
    })
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
        }
    }
    out + &format!("{} of {} functions of {} stand there as rebuilt\n", report.proven, report.functions, report.release)
}
