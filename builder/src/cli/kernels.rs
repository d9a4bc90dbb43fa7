// SPDX-License-Identifier: GPL-2.0-or-later
//! The results of the kernels of a stream's version: the result of each in; a table with the messages of each kernel
//! below it, or JSON, out. Errors are printed immediately, on standard error.

use crate::diff::warnings::Warning;
use crate::error::{Ended, Ending, Refusal, Refused};
use crate::source::Fix;
use crate::stream::result::{Idle, JobResult, Outcome, Tried};
use crate::stream::{Release, Stream};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeSet;

/// All kernels. docs/streams.md has the fields of the JSON.
#[derive(Serialize)]
pub struct Results {
    /// The stream's name.
    stream: String,
    /// The version that was built.
    version: String,
    kernels: Vec<OneKernel>,
    #[serde(skip)]
    failed: usize,
    #[serde(skip)]
    refused: usize,
    #[serde(skip)]
    tries_failed: usize,
}

/// What came of one kernel.
#[derive(Serialize)]
struct OneKernel {
    kernel: String,
    /// The name of its job.
    id: String,
    /// `built`, `try-failed`, `no-code`, `nothing-new`, `ended`, `released`, `refused` or `failed`.
    result: &'static str,
    /// The result in words, as the table has it.
    said: String,
    /// Name of the module, where it was built.
    module: Option<String>,
    /// How many functions it replaces.
    functions: Option<usize>,
    /// The fixes, with what each of them does to this kernel.
    fixes: Vec<Fix>,
    warnings: Vec<Warning>,
    notes: Vec<String>,
    /// Why there is no live patch.
    refusals: Vec<Refusal>,
    /// What went wrong, where it was not a refusal.
    error: Option<String>,
    /// How the module did in a guest, where it was tried.
    #[serde(rename = "try")]
    tried: Option<Tried>,
}

impl Results {
    /// None as yet.
    pub fn new(stream: &Stream, release: &Release) -> Self {
        Self {
            stream: stream.name.clone(),
            version: release.version.to_string(),
            kernels: Vec::new(),
            failed: 0,
            refused: 0,
            tries_failed: 0,
        }
    }

    /// Adds what came of a kernel.
    pub fn add(&mut self, result: JobResult) {
        match result.outcome {
            Outcome::Refused => self.refused += 1,
            Outcome::Error => self.failed += 1,
            Outcome::TryFailed => self.tries_failed += 1,
            Outcome::Built | Outcome::NothingNew => {}
        }
        self.kernels.push(OneKernel::of(result));
    }

    /// The table, and below it what is said of each kernel.
    pub fn text(&self) -> String {
        let mut table = Table::new(&["KERNEL", "VERSION", "RESULT", "FIXES", "LIVE", "FUNCTIONS", "CVES"]);
        for one in &self.kernels {
            let live: Vec<&Fix> = one.fixes.iter().filter(|f| f.is_live()).collect();
            let cves: BTreeSet<&String> = live.iter().flat_map(|f| &f.cves).collect();
            let number = |n: usize| if one.fixes.is_empty() { "-".into() } else { n.to_string() };
            let numbers = [one.fixes.len(), live.len(), one.functions.unwrap_or_default(), cves.len()].map(number);
            let [fixes, live, functions, cves] = numbers;
            table.row([one.kernel.clone(), self.version.clone(), one.said.clone(), fixes, live, functions, cves]);
        }
        table.text() + &self.kernels.iter().map(OneKernel::remarks).collect::<String>()
    }

    /// The error that a run with these results ends with, where each kernel should get a live patch.
    pub fn end(&self) -> Result<()> {
        match (self.refused, self.failed) {
            (0, 0) => Ok(()),
            (refused, 0) => Err(Ended::kernels_left_out(refused, Ending::Refused).into()),
            (refused, failed) => Err(Ended::kernels_left_out(refused + failed, Ending::Error).into()),
        }
    }

    /// The same, where each kernel should get a result: a refusal is one, and so is a fault in a guest, which has its
    /// own exit code.
    pub fn end_of_jobs(&self) -> Result<()> {
        match (self.failed, self.tries_failed) {
            (0, 0) => Ok(()),
            (0, kernels) => Err(Ended::tries_failed(kernels).into()),
            (kernels, _) => Err(Ended::kernels_left_out(kernels, Ending::Error).into()),
        }
    }
}

impl OneKernel {
    fn of(result: JobResult) -> Self {
        let word = match (result.outcome, result.why) {
            (Outcome::Built, _) => "built",
            (Outcome::TryFailed, _) => "try-failed",
            (Outcome::Refused, _) => "refused",
            (Outcome::Error, _) => "failed",
            (Outcome::NothingNew, Some(Idle::NoCode)) => "no-code",
            (Outcome::NothingNew, Some(Idle::Ended)) => "ended",
            (Outcome::NothingNew, Some(Idle::Released)) => "released",
            (Outcome::NothingNew, Some(Idle::NothingNew) | None) => "nothing-new",
        };
        let JobResult { kernel, id, said, module, functions, fixes, warnings, notes, refusals, error, tried, .. } =
            result;
        let said = match &tried {
            None => said,
            Some(tried) if tried.passed => format!("{said}, try passed"),
            Some(_) => format!("{said}, try failed"),
        };
        Self { kernel, id, result: word, said, module, functions, fixes, warnings, notes, refusals, error, tried }
    }

    /// What is said of it beside its row.
    fn remarks(&self) -> String {
        let mut lines: Vec<String> = self.fixes.iter().filter_map(remark).collect();
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        let faults = self.tried.iter().flat_map(|tried| &tried.faults);
        lines.extend(faults.map(|f| format!("failed in a guest ({}): [{}] {}", f.modules, f.code, f.text)));
        match lines.is_empty() {
            true => String::new(),
            false => format!("{}:\n  {}\n", self.kernel, lines.join("\n  ")),
        }
    }
}

/// What is said of a fix that is not in the live patch.
pub fn remark(fix: &Fix) -> Option<String> {
    let cves = if fix.cves.is_empty() { String::new() } else { format!(" ({})", fix.cves.join(", ")) };
    fix.missing().map(|missing| format!("{}{cves}: {missing}", fix.title))
}

/// Says the error that a kernel's build ended with, at once.
pub fn complain(kernel: &str, error: &anyhow::Error) {
    eprintln!("{kernel}: {error:#}");
    error.downcast_ref().and_then(keys).into_iter().for_each(|keys| eprintln!("  {keys}"));
}

/// Where a stream file has what the hints of a refusal say as options of `build`.
fn keys(refused: &Refused) -> Option<String> {
    let meant = |option: &str| refused.0.iter().any(|r| r.hint.contains(option));
    let known = [
        ("--allow-layout", "`allow_layout = [\"NAME\"]` in the fix's table"),
        ("--allow-unproven", "`allow_unproven = [\"NAME\"]` in the fix's table"),
        ("--max-units", "`max_units = N` at the top"),
    ];
    let keys: Vec<String> =
        known.iter().filter(|(option, _)| meant(option)).map(|(option, key)| format!("{option} is {key}")).collect();
    (!keys.is_empty()).then(|| format!("in a stream file {} (docs/streams.md)", keys.join(", ")))
}

/// Columns as wide as their widest cell.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these heads.
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|s| s.to_string()).collect()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// All rows.
    pub fn text(&self) -> String {
        let width = |n: usize| self.rows.iter().filter_map(|r| r.get(n)).map(|c| c.chars().count()).max().unwrap_or(0);
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().enumerate().map(|(n, c)| format!("{c:<w$}", w = width(n))).collect();
            format!("{}\n", cells.join("  ").trim_end())
        };
        self.rows.iter().map(line).collect()
    }
}
